# What is measured besides: where the time goes, and how far attributions agree with exact ISM.


rule time_parts:
    input:
        fasta="results/{study}/sequences.fa",
    output:
        records="results/{study}/records/{breakdown}.jsonl",
    params:
        job=document_of("breakdown"),
    log:
        "results/{study}/logs/{breakdown}.log",
    threads: workflow.cores
    shell:
        "{PYTHON} -m benchmarks.studies.breakdown --job {params.job} --fasta {input.fasta}"
        " --threads {threads} --output {output.records} 2> {log}"


rule correlate_attributions:
    input:
        fasta="results/{study}/sequences.fa",
    output:
        records="results/{study}/records/{agreement}.jsonl",
    params:
        job=document_of("agreement"),
    log:
        "results/{study}/logs/{agreement}.log",
    threads: workflow.cores
    shell:
        "{PYTHON} -m benchmarks.studies.correlate --job {params.job} --fasta {input.fasta}"
        " --threads {threads} --output {output.records} 2> {log}"
