# What is measured besides: where the time goes, and how far attributions agree with exact ISM.


rule time_parts:
    input:
        fasta="results/{study}/sequences.fa",
    output:
        records="results/{study}/records/breakdown_{breakdown}.jsonl",
    params:
        extra=lambda w: CONFIGS[w.study].breakdowns[w.breakdown],
        data=lambda w: described_data(w.study, CONFIGS[w.study].breakdowns[w.breakdown]),
    log:
        "results/{study}/logs/breakdown_{breakdown}.log",
    threads: workflow.cores
    shell:
        "{PYTHON} -m benchmarks.studies.breakdown --study {wildcards.study}"
        " --architecture {params.extra.architecture} --length {params.extra.length}"
        " --sequences {params.extra.sequences} --fasta {input.fasta} --data {params.data}"
        " --threads {threads} --output {output.records} 2> {log}"


rule correlate_attributions:
    input:
        fasta="results/{study}/sequences.fa",
    output:
        records="results/{study}/records/agreement_{agreement}.jsonl",
    params:
        extra=lambda w: CONFIGS[w.study].agreements[w.agreement],
        data=lambda w: described_data(w.study, CONFIGS[w.study].agreements[w.agreement]),
    log:
        "results/{study}/logs/agreement_{agreement}.log",
    threads: workflow.cores
    shell:
        "{PYTHON} -m benchmarks.studies.correlate --study {wildcards.study}"
        " --architecture {params.extra.architecture} --length {params.extra.length}"
        " --sequences {params.extra.sequences} --methods {params.extra.methods}"
        " --fasta {input.fasta} --data {params.data} --threads {threads}"
        " --output {output.records} 2> {log}"
