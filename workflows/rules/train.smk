# The promoter model: how it was trained, and what it relies on. Training writes a model beside the
# committed one, data/promoter_model.keras, which is what the other rules use.


rule train:
    input:
        fasta=repository("data/dm3_promoters_2kb.fa.gz"),
    output:
        model="results/promoter/promoter_model.keras",
        record="results/promoter/promoter_model.json",
    log:
        "results/promoter/logs/train.log",
    threads: workflow.cores
    shell:
        "{PYTHON} -m benchmarks.studies.promoter.train --fasta {input.fasta} --model {output.model}"
        " --record {output.record} --threads {threads} 2> {log}"


rule select_promoters:
    input:
        fasta=repository("data/dm3_promoters_2kb.fa.gz"),
    output:
        fasta="results/promoter/held_out.fa",
    log:
        "results/promoter/logs/select_promoters.log",
    shell:
        "{PYTHON} -m benchmarks.studies.promoter.select --fasta {input.fasta} --output {output.fasta}"
        " 2> {log}"


rule score_promoters:
    input:
        model=repository("data/promoter_model.keras"),
        fasta="results/promoter/held_out.fa",
    output:
        scores="results/promoter/held_out.h5",
    log:
        "results/promoter/logs/score_promoters.log",
    threads: workflow.cores
    shell:
        "{PYTHON} -m fastism score {input.model} {input.fasta} --out {output.scores} --force"
        " 2> {log}"


rule attribute_promoters:
    input:
        model=repository("data/promoter_model.keras"),
        fasta="results/promoter/held_out.fa",
    output:
        attributions="results/promoter/attributions.npz",
    log:
        "results/promoter/logs/attribute_promoters.log",
    threads: workflow.cores
    shell:
        "{PYTHON} -m benchmarks.studies.promoter.attribute --model {input.model} --fasta {input.fasta}"
        " --output {output.attributions} --threads {threads} 2> {log}"


rule measure_enrichment:
    input:
        scores="results/promoter/held_out.h5",
        attributions="results/promoter/attributions.npz",
        motifs=repository("data/jaspar2026_promoter_motifs.pfm"),
    output:
        record="results/promoter/promoter.json",
    log:
        "results/promoter/logs/measure_enrichment.log",
    shell:
        "{PYTHON} -m benchmarks.studies.promoter.enrichment --scores {input.scores}"
        " --attributions {input.attributions} --motifs {input.motifs} --output {output.record}"
        " 2> {log}"


# The figure of the committed record is in figures/reference; this draws that of a new one.


rule plot_promoters:
    input:
        record="results/promoter/promoter.json",
    output:
        [f"results/promoter/promoter.{suffix}" for suffix in SUFFIXES],
    log:
        "results/promoter/logs/plot_promoters.log",
    shell:
        "{PYTHON} -m figures.promoter --record {input.record} --output {output} 2> {log}"
