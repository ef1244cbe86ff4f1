# What the rules look up in the configs.


def repository(path):
    """A file of the repository, as seen from the working directory."""
    return os.path.relpath(ROOT / path)


def results_of(study):
    """The files that a config leads to."""
    names = [f"speedup.{suffix}" for suffix in ("csv", "md", "svg", "png")]
    if CONFIGS[study].report:
        names += ["report.html", "targets.csv", "targets.md"]
        names += [f"{d}.{s}" for d in DRAWINGS for s in SUFFIXES]
    return [f"results/{study}/{name}" for name in names]


def job_of(wildcards):
    """The settings of a timing job."""
    return CONFIGS[wildcards.study].jobs[wildcards.case]


def data_of(wildcards):
    """What records say about the sequences of a timing job."""
    return described_data(wildcards.study, job_of(wildcards))


def described_data(study, job):
    """What records say about the sequences of any job, for a shell."""
    return shlex.quote(CONFIGS[study].described_data(job))


def peer_job_of(wildcards):
    """The settings of a peer's job."""
    return CONFIGS[wildcards.study].peers[wildcards.peer_case]


def names_in(kind):
    """A constraint for wildcards: the names of one kind in any config."""
    names = {name for settings in CONFIGS.values() for name in getattr(settings, kind)}
    return "|".join(sorted(names)) or "none"


def records_of(wildcards):
    """The files of records of a config."""
    settings = CONFIGS[wildcards.study]
    names = [
        *settings.jobs,
        *(
            f"{case}_first_call_{backend}"
            for case, job in settings.first_calls.items()
            for backend in job.backends
        ),
        *(f"peer_{case}" for case in settings.peers),
        *(f"breakdown_{case}" for case in settings.breakdowns),
        *(f"agreement_{case}" for case in settings.agreements),
    ]
    return [f"results/{wildcards.study}/records/{name}.jsonl" for name in names]
