# The README shows committed records. After `snakemake --cores all library`, copy
# results/library/records.jsonl to benchmarks/records/library-cpu.jsonl and ask for this rule;
# likewise results/torch_modules/records.jsonl to benchmarks/records/torch-modules-cpu.jsonl.

MODULE_RECORDS = ROOT / "benchmarks/records/torch-modules-cpu.jsonl"


rule write_readme_table:
    input:
        records=repository("benchmarks/records/library-cpu.jsonl"),
        modules=[repository(MODULE_RECORDS)] if MODULE_RECORDS.is_file() else [],
    params:
        modules=lambda w, input: f"--modules {input.modules}" if input.modules else "",
        # Not an output: Snakemake would delete the README before it runs the rule.
        readme=repository("README.md"),
    log:
        "results/logs/write_readme_table.log",
    shell:
        "{PYTHON} -m figures.readme --records {input.records} {params.modules}"
        " --readme {params.readme} 2> {log}"
