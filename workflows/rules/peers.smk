# Other implementations of ISM, each in an environment of its own: import names collide with ours,
# and they need other versions of the frameworks. One that cannot be installed or run leaves records
# with the reason. To try again, delete its file in .envs, and its records.


rule make_peer_environment:
    input:
        requirements=lambda w: repository(PEERS[w.peer].requirements),
    output:
        description=".envs/{peer}.json",
    params:
        folder=".envs/{peer}",
    log:
        ".envs/{peer}.log",
    threads: 1
    shell:
        "{PYTHON} -m benchmarks.peers.environment --requirements {input.requirements}"
        " --folder {params.folder} --output {output.description} 2> {log}"


rule time_peer:
    input:
        description=lambda w: f".envs/{CONFIGS[w.study].peers[w.peer_case].peer}.json",
        fasta="results/{study}/sequences.fa",
    output:
        records="results/{study}/records/{peer_case}.jsonl",
    params:
        job=document_of("peer_case"),
    log:
        "results/{study}/logs/{peer_case}.log",
    threads: workflow.cores
    shell:
        "{PYTHON} -m benchmarks.peers.record --job {params.job} --environment {input.description}"
        " --fasta {input.fasta} --threads {threads} --output {output.records} 2> {log}"
