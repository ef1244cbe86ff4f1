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
