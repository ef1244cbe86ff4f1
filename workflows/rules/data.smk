# Sequences to run on.


rule select_sequences:
    input:
        fasta=lambda w: repository(CONFIGS[w.study].fasta),
    output:
        fasta="results/{study}/sequences.fa",
    params:
        number=lambda w: CONFIGS[w.study].most_sequences,
        seed=lambda w: CONFIGS[w.study].seed,
    log:
        "results/{study}/logs/select_sequences.log",
    shell:
        "{PYTHON} -m benchmarks.jobs.select_sequences --fasta {input.fasta} --number {params.number}"
        " --seed {params.seed} --output {output.fasta} 2> {log}"
