# Timing. Every job asks for all cores, so that no other runs beside it.


# A job that fails as a whole, or is killed, may leave records that say so (the key `failures`).
# What it had measured for whole numbers of sequences lies in `partial` until the job is complete;
# the next attempt goes on from there.


rule time_architecture:
    input:
        fasta="results/{study}/sequences.fa",
    output:
        records="results/{study}/records/{case}.jsonl",
    params:
        flags=lambda w: job_of(w).flags(),
        data=data_of,
        # Not an output: Snakemake deletes those of jobs that fail or are interrupted.
        partial="results/{study}/partial",
    log:
        "results/{study}/logs/{case}.log",
    threads: workflow.cores
    shell:
        "{PYTHON} -m benchmarks.timing.measure --fasta {input.fasta} --data {params.data}"
        " --threads {threads} --output {output.records}"
        " --partial {params.partial} {params.flags} 2> {log}"
        " || {PYTHON} -m benchmarks.workflow.failed_job --status $? --log {log} --data {params.data}"
        " --output {output.records} --partial {params.partial} {params.flags} 2>> {log}"


rule time_first_call:
    input:
        fasta="results/{study}/sequences.fa",
    output:
        records="results/{study}/records/{case}_first_call_{backend}.jsonl",
    params:
        job=job_of,
        data=data_of,
    log:
        "results/{study}/logs/{case}_first_call_{backend}.log",
    threads: workflow.cores
    shell:
        "{PYTHON} -m benchmarks.timing.first_call --study {wildcards.study}"
        " --architecture {params.job.architecture} --length {params.job.length}"
        " --backend {wildcards.backend} --keras-backend {params.job.keras_backend}"
        " --device {params.job.device} --fasta {input.fasta} --data {params.data}"
        " --threads {threads} --output {output.records} 2> {log}"


rule gather_records:
    input:
        records_of,
    output:
        records="results/{study}/records.jsonl",
        table="results/{study}/records.csv",
    log:
        "results/{study}/logs/gather_records.log",
    shell:
        "{PYTHON} -m benchmarks.records {input} --output {output.records} --csv {output.table}"
        " 2> {log}"
