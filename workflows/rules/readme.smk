# The README shows committed records. After `snakemake --cores all library`, copy
# results/library/records.jsonl to benchmarks/records/library-cpu.jsonl and ask for this rule;
# likewise results/torch_modules/records.jsonl to benchmarks/records/torch-modules-cpu.jsonl.

COMMITTED = [ROOT / f"benchmarks/records/{name}-cpu.jsonl" for name in ("library", "paper")]
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


# The targets beside what was measured, from all committed records; docs/results.md shows the table.


rule write_targets_table:
    input:
        records=[repository(p) for p in (*COMMITTED, MODULE_RECORDS) if p.is_file()],
    params:
        # Not outputs: they are committed, and Snakemake would delete them before it runs the rule.
        csv=repository("figures/reference/targets.csv"),
        markdown=repository("figures/reference/targets.md"),
    log:
        "results/logs/write_targets_table.log",
    shell:
        "{PYTHON} -m figures.targets --records {input.records} --csv {params.csv}"
        " --markdown {params.markdown} 2> {log}"
