# Effects of the variants of a VCF file, in shards that are jobs of their own, merged into one file.
#
#   snakemake -s workflows/variants.smk --cores 2 --config model=M vcf=V genome=G output=O shards=N
#   snakemake -s workflows/variants.smk --cores 2 --configfile X.yaml
#   snakemake -s workflows/variants.smk --profile workflows/profiles/slurm --configfile X.yaml
#
# workflows/variants.schema.json and workflows/sharded.schema.json describe the keys of the config;
# docs/cluster.md how to choose them. What it has in common with score.smk stands in sharded.smk.

COMMAND = "variants"
INPUT_KEY = "vcf"
SHARD_ENDING = ".effects"


def outputs_of(config):
    """The files that the output consists of: two with haplotypes."""
    from fastism.batch.effect_export import effect_outputs

    return effect_outputs(Path(config["output"]), config.get("phased", False))


def export_options(config):
    """The options of `fastism export`, as words for a shell: a VCF needs the one that it repeats."""
    from fastism.batch.effect_files import VCFS

    return [f"--vcf={config['vcf']}"] if config["output"].lower().endswith(VCFS) else []


include: "sharded.smk"


# Rules of a file that is included are not what Snakemake makes by itself.
rule all:
    input:
        merged_files(),
