# Whether the library is still as fast as it was; compares with benchmarks/baselines and fails where
# it is not. Has no output, so that it runs whenever it is asked for.


rule regression:
    params:
        records="results/regression/records.jsonl",
    log:
        "results/regression/logs/regression.log",
    threads: workflow.cores
    shell:
        "{PYTHON} -m benchmarks.regression --threads {threads} --records {params.records} 2> {log}"
