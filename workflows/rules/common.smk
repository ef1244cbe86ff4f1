# What the rules look up in the configs.


def repository(path):
    """A file of the repository, as seen from the working directory."""
    return os.path.relpath(ROOT / path)


def results_of(study):
    """The files that a config leads to."""
    names = ["speedup.csv", "speedup.md", "speedup.svg", "speedup.png"]
    return [f"results/{study}/{name}" for name in names]


def job_of(wildcards):
    """The settings of a timing job."""
    return CONFIGS[wildcards.study].jobs[wildcards.architecture, int(wildcards.length)]


def data_of(wildcards):
    """What records say about the sequences."""
    settings = CONFIGS[wildcards.study]
    text = f"{Path(settings.fasta).name}, seed {settings.seed}, last {wildcards.length} bp"
    return shlex.quote(text)


def records_of(wildcards):
    """The files of records of a config."""
    settings = CONFIGS[wildcards.study]
    folder = f"results/{wildcards.study}/records"
    files = [f"{folder}/{name}_{length}.jsonl" for name, length in settings.jobs]
    if settings.first_call:
        files += [
            f"{folder}/{name}_{length}_first_call_{backend}.jsonl"
            for (name, length), job in settings.jobs.items()
            for backend in job.backends
        ]
    return files
