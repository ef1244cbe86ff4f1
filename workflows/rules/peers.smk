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
        description=lambda w: f".envs/{peer_job_of(w).peer}.json",
        fasta="results/{study}/sequences.fa",
    output:
        records="results/{study}/records/peer_{peer_case}.jsonl",
    params:
        job=peer_job_of,
        data=lambda w: described_data(w.study, peer_job_of(w)),
    log:
        "results/{study}/logs/peer_{peer_case}.log",
    threads: workflow.cores
    shell:
        "{PYTHON} -m benchmarks.peers.record --environment {input.description}"
        " --study {wildcards.study} --peer {params.job.peer}"
        " --architecture {params.job.architecture} --length {params.job.length}"
        " --sequences {params.job.sequences} --batch-sizes {params.job.batch_sizes}"
        " --repeats {params.job.repeats} --budget {params.job.budget}"
        " --fasta {input.fasta} --data {params.data} --threads {threads}"
        " --output {output.records} 2> {log}"
