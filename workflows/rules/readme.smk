# README.md and docs/results.md show committed records. After `snakemake --cores all library`, copy
# results/library/records.jsonl to benchmarks/records/library-cpu.jsonl and ask for this rule;
# likewise results/torch_modules/records.jsonl to benchmarks/records/torch-modules-cpu.jsonl, and what
# both leave on an AMD processor to library-amd-cpu.jsonl and quick-amd-cpu.jsonl there.


def committed(*names):
    """Those files of records that there are."""
    paths = [f"benchmarks/records/{name}.jsonl" for name in names]
    return [repository(path) for path in paths if (ROOT / path).is_file()]


rule write_readme_table:
    input:
        committed(
            "library-cpu",
            "library-gpu",
            "torch-modules-cpu",
            "torch-modules-gpu",
            "torch-modules-tf32-gpu",
            "library-amd-cpu",
            "quick-amd-cpu",
        ),
    params:
        records=repository("benchmarks/records"),
        # Not outputs: Snakemake would delete them before it runs the rule.
        readme=repository("README.md"),
        page=repository("docs/results.md"),
    log:
        "results/logs/write_readme_table.log",
    shell:
        "{PYTHON} -m figures.readme --records {params.records} --readme {params.readme}"
        " --page {params.page} 2> {log}"


# The targets beside what was measured, from all committed records; docs/results.md shows the table.


rule write_targets_table:
    input:
        records=committed("library-cpu", "library-amd-cpu", "paper-cpu", "torch-modules-cpu"),
    params:
        # Not outputs: they are committed, and Snakemake would delete them before it runs the rule.
        csv=repository("figures/reference/targets.csv"),
        markdown=repository("figures/reference/targets.md"),
    log:
        "results/logs/write_targets_table.log",
    shell:
        "{PYTHON} -m figures.targets --records {input.records} --csv {params.csv}"
        " --markdown {params.markdown} 2> {log}"
