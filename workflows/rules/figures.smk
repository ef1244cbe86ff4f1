# Tables and figures, from records and nothing else.


rule tabulate_speedup:
    input:
        records="results/{study}/records.jsonl",
    output:
        csv="results/{study}/speedup.csv",
        markdown="results/{study}/speedup.md",
    log:
        "results/{study}/logs/tabulate_speedup.log",
    shell:
        "{PYTHON} -m figures.speedup_table --records {input.records} --csv {output.csv}"
        " --markdown {output.markdown} 2> {log}"


rule tabulate_targets:
    input:
        records="results/{study}/records.jsonl",
    output:
        csv="results/{study}/targets.csv",
        markdown="results/{study}/targets.md",
    log:
        "results/{study}/logs/tabulate_targets.log",
    shell:
        "{PYTHON} -m figures.targets --records {input.records} --csv {output.csv}"
        " --markdown {output.markdown} 2> {log}"


rule plot_speedup:
    input:
        records="results/{study}/records.jsonl",
    output:
        svg="results/{study}/speedup.svg",
        png="results/{study}/speedup.png",
    log:
        "results/{study}/logs/plot_speedup.log",
    shell:
        "{PYTHON} -m figures.speedup --records {input.records} --output {output.svg} {output.png}"
        " 2> {log}"


rule draw_figure:
    input:
        records="results/{study}/records.jsonl",
        paper=repository("data/paper_p100_timings.csv"),
    output:
        [f"results/{{study}}/{{drawing}}.{suffix}" for suffix in SUFFIXES],
    log:
        "results/{study}/logs/draw_{drawing}.log",
    shell:
        "{PYTHON} -m figures.drawings {wildcards.drawing} --records {input.records}"
        " --paper {input.paper} --output {output} 2> {log}"


rule write_report:
    input:
        records="results/{study}/records.jsonl",
        speedup=["results/{study}/speedup.svg", "results/{study}/speedup.md"],
        targets="results/{study}/targets.md",
        drawings=[
            f"results/{{study}}/{drawing}.{suffix}" for drawing in DRAWINGS for suffix in SUFFIXES
        ],
    output:
        html="results/{study}/report.html",
    params:
        folder="results/{study}",
    log:
        "results/{study}/logs/write_report.log",
    shell:
        "{PYTHON} -m figures.report --records {input.records} --folder {params.folder}"
        " --output {output.html} 2> {log}"
