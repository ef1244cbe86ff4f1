# Whether the library is still as fast as it was; compares with benchmarks/baselines and fails where
# it is not. Has no output, so that it runs whenever it is asked for. What the quick config has just
# measured of the same commit need not be measured again, where the bounds allow for it.


rule regression:
    params:
        records="results/regression/records.jsonl",
        # Not an input, which would be measured for this where it is missing.
        earlier="results/quick/records.jsonl",
    log:
        "results/regression/logs/regression.log",
    threads: workflow.cores
    shell:
        "{PYTHON} -m benchmarks.regression --threads {threads} --records {params.records}"
        " --earlier {params.earlier} 2> {log}"
