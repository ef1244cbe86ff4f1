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


def document_of(wildcard):
    """For `params`: the document of the job that a wildcard names, quoted for a shell."""
    return lambda w: shlex.quote(write_job(CONFIGS[w.study].measured[getattr(w, wildcard)]))


def names_in(kind):
    """A constraint for wildcards: the names of one kind in any config."""
    names = {name for settings in CONFIGS.values() for name in getattr(settings, kind)}
    return "|".join(sorted(names)) or "none"


def records_of(wildcards):
    """The files of records of a config."""
    cases = CONFIGS[wildcards.study].measured
    return [f"results/{wildcards.study}/records/{case}.jsonl" for case in cases]
