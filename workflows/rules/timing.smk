# Timing. Every job asks for all cores, so that no other runs beside it.


rule time_architecture:
    input:
        fasta="results/{study}/sequences.fa",
    output:
        records="results/{study}/records/{architecture}_{length}.jsonl",
    params:
        flags=lambda w: job_of(w).flags(),
        data=data_of,
    log:
        "results/{study}/logs/{architecture}_{length}.log",
    threads: workflow.cores
    shell:
        "{PYTHON} -m benchmarks.measure --fasta {input.fasta} --data {params.data}"
        " --threads {threads} --output {output.records} {params.flags} 2> {log}"


rule time_first_call:
    input:
        fasta="results/{study}/sequences.fa",
    output:
        records="results/{study}/records/{architecture}_{length}_first_call_{backend}.jsonl",
    params:
        keras_backend=lambda w: job_of(w).keras_backend,
        device=lambda w: job_of(w).device,
        data=data_of,
    log:
        "results/{study}/logs/{architecture}_{length}_first_call_{backend}.log",
    threads: workflow.cores
    shell:
        "{PYTHON} -m benchmarks.first_call --study {wildcards.study}"
        " --architecture {wildcards.architecture} --length {wildcards.length}"
        " --backend {wildcards.backend} --keras-backend {params.keras_backend}"
        " --device {params.device} --fasta {input.fasta} --data {params.data}"
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
