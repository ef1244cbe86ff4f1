# Timing. Every job asks for all cores, so that no other runs beside it. A process is told what to
# measure by one JSON document (benchmarks/jobs/document.py).


# A job that fails as a whole, or is killed, may leave records that say so (the key `failures`).
# What it had measured for whole numbers of sequences lies in `partial` until the job is complete;
# the next attempt goes on from there.


rule time_architecture:
    input:
        fasta="results/{study}/sequences.fa",
    output:
        records="results/{study}/records/{case}.jsonl",
    params:
        job=document_of("case"),
        # Not an output: Snakemake deletes those of jobs that fail or are interrupted.
        partial="results/{study}/partial",
    log:
        "results/{study}/logs/{case}.log",
    threads: workflow.cores
    shell:
        "{PYTHON} -m benchmarks.timing.measure --job {params.job} --fasta {input.fasta}"
        " --threads {threads} --output {output.records} --partial {params.partial} 2> {log}"
        " || {PYTHON} -m benchmarks.workflow.failed_job --job {params.job} --status $? --log {log}"
        " --output {output.records} --partial {params.partial} 2>> {log}"


rule time_first_call:
    input:
        fasta="results/{study}/sequences.fa",
    output:
        records="results/{study}/records/{first_call}.jsonl",
    params:
        job=document_of("first_call"),
    log:
        "results/{study}/logs/{first_call}.log",
    threads: workflow.cores
    shell:
        "{PYTHON} -m benchmarks.timing.first_call --job {params.job} --fasta {input.fasta}"
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
