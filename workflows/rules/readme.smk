# The README shows committed records. After `snakemake --cores all library`, copy
# results/library/records.jsonl to benchmarks/records/library-cpu.jsonl and ask for this rule.


rule write_readme_table:
    input:
        records=repository("benchmarks/records/library-cpu.jsonl"),
    params:
        # Not an output: Snakemake would delete the README before it runs the rule.
        readme=repository("README.md"),
    log:
        "results/logs/write_readme_table.log",
    shell:
        "{PYTHON} -m figures.readme --records {input.records} --readme {params.readme} 2> {log}"
