# Scores of many sequences, in shards that are jobs of their own, merged into one file.
#
#   snakemake -s workflows/score.smk --cores 2 --config model=M input=I output=O shards=N
#   snakemake -s workflows/score.smk --cores 2 --configfile X.yaml
#   snakemake -s workflows/score.smk --profile workflows/profiles/slurm --configfile X.yaml
#
# workflows/score.schema.json and workflows/sharded.schema.json describe the keys of the config;
# docs/cluster.md how to choose them. What it has in common with variants.smk stands in sharded.smk.

COMMAND = "score"
INPUT_KEY = "input"
SHARD_ENDING = ".h5"


def outputs_of(config):
    """The files that the output consists of: two for X.npz."""
    from fastism.store.export import output_files

    return output_files(Path(config["output"]))


def export_options(config):
    """The options of `fastism export`, as words for a shell."""
    return [f"--output={config['select']}"] if "select" in config else []


include: "sharded.smk"


# Rules of a file that is included are not what Snakemake makes by itself.
rule all:
    input:
        merged_files(),
