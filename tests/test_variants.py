"""Effects of variants against the mutated chromosome, cut and run through the model itself."""

from __future__ import annotations

import string
from collections.abc import Callable, Iterator
from dataclasses import replace

import numpy as np
import pytest

keras = pytest.importorskip("keras", reason="the models are Keras models")
pytest.importorskip("pyfaidx", reason="genomes are read by pyfaidx, of the extra cli")

from genome_files import random_letters, write_fasta  # noqa: E402
from keras import layers  # noqa: E402
from random_models import randomise  # noqa: E402

from fastism import FastISM, FastISMError, NaiveISM  # noqa: E402
from fastism.genomics.genome import Genome, reverse_complement  # noqa: E402
from fastism.genomics.locate import Around, Effect, Status, Within  # noqa: E402
from fastism.genomics.regions import Region  # noqa: E402
from fastism.genomics.spelling import shortest  # noqa: E402
from fastism.genomics.variants import score_variants, value_labels  # noqa: E402
from fastism.genomics.vcf import Variant  # noqa: E402
from fastism.running.engine import Engine  # noqa: E402
from fastism.sequences import one_hot  # noqa: E402

pytestmark = pytest.mark.tensorflow

LENGTH = 60
NEAR = {"rtol": 1e-4, "atol": 1e-5}
CHROMOSOMES = {
    "chr1": random_letters(400, 1),
    "chr2": random_letters(100, 2) + "NN" + random_letters(98, 3).lower(),
}
ONE = CHROMOSOMES["chr1"]


def make_model() -> keras.Model:
    r"""
    sequence -- conv -- max pool -- conv -- flatten -- dense(3)     output 0
                               \--- global mean -- dense(1)         output 1
    """
    inputs = keras.Input((LENGTH, 4))
    x = layers.Conv1D(6, 5, padding="same", activation="relu")(inputs)
    x = layers.MaxPooling1D(2)(x)
    y = layers.Conv1D(5, 3, activation="relu")(x)
    y = layers.Dense(3)(layers.Flatten()(y))
    model = keras.Model(inputs, [y, layers.Dense(1)(layers.GlobalAveragePooling1D()(x))])
    randomise(model, 4)
    return model


MODEL = make_model()


@pytest.fixture(scope="module")
def genome(tmp_path_factory) -> Iterator[Genome]:
    path = write_fasta(tmp_path_factory.mktemp("genome") / "genome.fa", CHROMOSOMES)
    with Genome(path) as opened:
        yield opened


@pytest.fixture(scope="module")
def ism() -> FastISM:
    return FastISM(MODEL, test_correctness=False)


def other(letter: str, shift: int = 1) -> str:
    return "ACGT"[("ACGT".index(letter.upper()) + shift) % 4]


def at(pos0: int, alt: str | Callable[[str], str], width: int = 1, chrom: str = "chr1") -> Variant:
    """A variant whose REF is what the genome has there."""
    ref = CHROMOSOMES[chrom][pos0 : pos0 + width]
    return Variant(chrom, pos0, ref, alt(ref) if callable(alt) else alt, ".", pos0 + 1)


def snv(pos0: int, shift: int = 1, chrom: str = "chr1") -> Variant:
    return at(pos0, lambda ref: other(ref, shift), chrom=chrom)


def predict(sequences: list[str]) -> np.ndarray:
    made = MODEL(one_hot(sequences, ambiguous="zero"), training=False)
    return np.concatenate([keras.ops.convert_to_numpy(y) for y in made], axis=1)


def check(effect: Effect) -> None:
    """A scored effect against the same window of the mutated chromosome."""
    variant, window = effect.variant, effect.window
    assert effect.status is Status.SCORED
    letters = CHROMOSOMES[variant.chrom]
    after = letters[variant.pos0 + len(variant.ref) :]
    mutated = letters[: variant.pos0] + variant.alt + after
    pair = [letters[window.start : window.end], mutated[window.start : window.end]]
    if window.strand == "-":
        pair = [reverse_complement(sequence) for sequence in pair]
    reference, changed = predict(pair)
    np.testing.assert_allclose(effect.reference, reference, **NEAR)
    np.testing.assert_allclose(effect.effect, changed - reference, **NEAR)


def test_the_check_can_fail(ism, genome):
    (effect,) = score(ism, genome, [snv(100)])
    for wrong in ({"effect": -effect.effect}, {"window": Around(LENGTH, 7)(snv(100))}):
        with pytest.raises(AssertionError, match="Not equal"):
            check(replace(effect, **wrong))


def score(ism, genome, variants, place=None, **settings) -> list[Effect]:
    made = list(score_variants(ism, variants, genome, place or Around(LENGTH), **settings))
    assert [e.variant for e in made] == list(variants)
    return made


MIXED = [
    snv(100),
    snv(100, 2),
    snv(101),
    at(105, lambda ref: "".join(map(other, ref)), 2),
    at(110, lambda ref: other(ref[0]) + ref[1:-1] + other(ref[-1]), 5),
    at(105, lambda ref: ref + "ACGTA"),
    at(105, lambda ref: ref[:1], 4),
    at(106, "TTGTTG", 3),
    snv(100, 3),
    at(111, lambda ref: ref.lower()),
    at(30, lambda ref: other(ref[0])),
    at(369, lambda ref: other(ref[0])),
    snv(40, chrom="chr2"),
    snv(150, chrom="chr2"),
]


@pytest.mark.parametrize("share", [1, 7, LENGTH])
def test_every_variant_has_the_effect_of_the_mutated_chromosome(ism, genome, share):
    effects = score(ism, genome, MIXED, Around(LENGTH, share))
    scored = [e for e in effects if e.status is Status.SCORED]
    assert len(scored) == len(MIXED) if share == 1 else len(scored) >= 10
    for effect in scored:
        check(effect)
        indel = len(effect.variant.ref) != len(effect.variant.alt)
        assert effect.method == ("naive" if indel else "fast")


def test_naive_ism_gives_the_same(genome):
    for effect in score(NaiveISM(MODEL, batch_size=16), genome, MIXED):
        check(effect)
        assert effect.method == "naive"


def test_without_a_change_there_is_no_effect(ism, genome):
    (effect,) = score(ism, genome, [at(111, lambda ref: ref.lower())])
    assert effect.status is Status.SCORED
    np.testing.assert_array_equal(effect.effect, 0)


def test_by_default_a_variant_is_in_the_middle_of_its_window(ism, genome):
    even, (odd,) = score(ism, genome, [snv(100)])[0], [Around(61)(snv(100))]
    assert (even.window.start, even.window.end) == (70, 130)
    assert (odd.start, odd.end) == (70, 131)


@pytest.mark.parametrize("share", [2, 5, 10])
def test_a_shared_window_depends_on_the_position_alone(share):
    place = Around(LENGTH, share)
    windows = [place(snv(p)) for p in range(100, 100 + share)]
    middle = 100 + share // 2
    assert {(w.start, w.end) for w in windows} == {(middle - 30, middle + 30)}
    assert place(snv(99)) != windows[0] != place(snv(100 + share))


def test_only_windows_that_fit_can_be_shared():
    for share in (0, LENGTH + 1):
        with pytest.raises(FastISMError, match="expected 1 to 60"):
            Around(LENGTH, share)


# ---- the work that is done ---------------------------------------------------------------


@pytest.fixture
def passes(monkeypatch) -> Iterator[list[int]]:
    """How many sequences each reference pass had."""
    counted: list[int] = []
    reference = Engine.reference

    def count(self, inputs):
        counted.append(len(inputs[0]))
        return reference(self, inputs)

    monkeypatch.setattr(Engine, "reference", count)
    yield counted


def test_variants_of_one_window_share_one_reference_pass(ism, genome, passes):
    same = [snv(p, shift) for p in range(100, 110) for shift in (1, 2, 3)]
    same += [at(p, lambda ref: "".join(map(other, ref)), 2) for p in range(100, 108)]
    for effect in score(ism, genome, same, Around(LENGTH, 10)):
        check(effect)
    assert passes == [1]
    passes.clear()
    score(ism, genome, same)
    assert sum(passes) == 10


def test_a_batch_ends_only_where_a_new_window_begins(ism, genome, passes):
    variants = [snv(p, shift) for p in (100, 101, 102, 103) for shift in (1, 2, 3)]
    for effect in score(ism, genome, variants, windows=2):
        check(effect)
    assert passes == [2, 2]


def test_what_is_not_scored_costs_nothing(ism, genome, passes):
    score(ism, genome, [snv(3), at(100, "<DEL>"), Variant("chr9", 5, "A", "C", ".", 1)])
    assert passes == []


@pytest.mark.parametrize("windows", [1, 3, 100])
def test_batches_do_not_matter(ism, genome, windows):
    for effect in score(ism, genome, MIXED, windows=windows):
        check(effect)


# ---- what is not scored ------------------------------------------------------------------


@pytest.mark.parametrize(
    ("variant", "status"),
    [
        (Variant("chr1", 100, other(ONE[100]), ONE[100], ".", 1), Status.REFERENCE_MISMATCH),
        (
            Variant("chr1", 100, ONE[100:102] + other(ONE[102]), "A", ".", 1),
            Status.REFERENCE_MISMATCH,
        ),
        (Variant("1", 100, "A", "C", ".", 1), Status.UNKNOWN_CHROMOSOME),
        (Variant("chr1", 400, "A", "C", ".", 1), Status.OFF_CHROMOSOME),
        (Variant("chr1", -1, "N", "C", ".", 1), Status.OFF_CHROMOSOME),
        (snv(29), Status.WINDOW_OFF_CHROMOSOME),
        (snv(371), Status.WINDOW_OFF_CHROMOSOME),
        (at(365, "A", 12), Status.WINDOW_OFF_CHROMOSOME),
        (Variant("chr1", -1, "x", "", ".", 1, "POS is 'x'"), Status.BAD_LINE),
        (at(100, lambda ref: "".join(map(other, ref)), 31), Status.BEYOND_WINDOW),
        (snv(90, chrom="chr2"), Status.AMBIGUOUS_WINDOW),
        (at(100, "N"), Status.AMBIGUOUS_ALLELE),
        (at(100, "AR"), Status.AMBIGUOUS_ALLELE),
        (at(100, "<DEL>"), Status.SYMBOLIC),
        (at(100, "*"), Status.OVERLAPPING),
        (at(100, "."), Status.MISSING),
        (at(100, "A[chr1:3["), Status.BREAKEND),
    ],
    ids=[
        "another base",
        "another base in a row",
        "another name",
        "behind the end",
        "before the start",
        "window before the start",
        "window behind the end",
        "long insertion",
        "bad line",
        "wider than the window",
        "unknown base near by",
        "N",
        "R",
        "symbol",
        "overlapping",
        "missing",
        "breakend",
    ],
)
def test_what_cannot_be_scored_says_why(ism, genome, variant, status):
    before, effect, after = score(ism, genome, [snv(99), variant, snv(101)])
    assert effect.status is status
    assert (effect.method, effect.reference, effect.effect) == ("", None, None)
    check(before)
    check(after)


def test_both_ends_of_a_chromosome(ism, genome):
    for effect in score(ism, genome, [snv(30), snv(370), at(370, "AC"), at(365, "A", 6)]):
        if effect.status is Status.SCORED:
            check(effect)
    statuses = [e.status for e in score(ism, genome, [snv(30), snv(370), at(370, "AC")])]
    assert statuses == [Status.SCORED] * 3


def test_a_deletion_longer_than_its_window(ism, genome):
    (effect,) = score(ism, genome, [at(100, lambda ref: ref[0], 200)])
    check(effect)


def test_an_insertion_longer_than_its_window(ism, genome):
    (effect,) = score(ism, genome, [at(100, lambda ref: ref + random_letters(90, 8))])
    check(effect)


def test_a_deletion_that_brings_unknown_letters_into_the_window(ism, genome):
    near = at(60, lambda ref: ref[0], 15, chrom="chr2")
    assert score(ism, genome, [snv(60, chrom="chr2")])[0].status is Status.SCORED
    assert score(ism, genome, [near])[0].status is Status.AMBIGUOUS_WINDOW
    check(score(ism, genome, [near], ambiguous="zero")[0])


def test_unknown_letters_are_zeros_or_an_error_if_so_wanted(ism, genome):
    variants = [snv(90, chrom="chr2"), snv(104, chrom="chr2")]
    for effect in score(ism, genome, variants, ambiguous="zero"):
        check(effect)
    with pytest.raises(FastISMError, match=r"line 91 \(chr2:60-120\) holds 'N'"):
        score(ism, genome, variants, ambiguous="error")


# ---- regions -----------------------------------------------------------------------------


def region(start: int, strand: str = ".", chrom: str = "chr1") -> Region:
    letters = CHROMOSOMES[chrom][start : start + LENGTH]
    letters = reverse_complement(letters) if strand == "-" else letters
    return Region(f"{start}", letters, chrom, start, start + LENGTH, strand)


def test_the_nearest_region_that_holds_the_position(ism, genome, passes):
    place = Within([region(200), region(130), region(100), region(130, "-")], LENGTH)
    variants = [
        snv(99),
        snv(100),
        snv(144),
        snv(145),
        snv(189),
        snv(190),
        snv(195),
        snv(200),
        snv(260),
    ]
    variants.append(snv(120, chrom="chr2"))
    effects = score(ism, genome, variants, place)
    starts = [e.window and e.window.start for e in effects]
    assert starts == [None, 100, 100, 100, 130, None, None, 200, None, None]
    assert [e.status for e in effects if e.window is None] == [Status.NO_REGION] * 5
    for effect in effects:
        if effect.window:
            assert effect.window.strand == "."
            check(effect)
    assert passes == [3]


def test_nearest_region_by_brute_force():
    rng = np.random.default_rng(6)
    starts = [int(s) for s in rng.integers(0, 340, 12)]
    place = Within([region(s) for s in starts], LENGTH)
    for pos0 in range(400):
        holding = [s for s in starts if s <= pos0 < s + LENGTH]
        best = min(holding, key=lambda s: (abs(s + 30 - pos0), s), default=None)
        window = place(snv(pos0))
        assert (window and window.start) == best


def test_on_the_minus_strand_the_model_reads_the_reverse_complement(ism, genome):
    place = Within([region(70, "-")], LENGTH)
    inside = [v for v in MIXED if v.chrom == "chr1" and 70 <= v.pos0 < 130]
    assert len(inside) >= 10
    for effect in score(ism, genome, [*inside, snv(70), snv(129)], place):
        assert effect.window.strand == "-"
        check(effect)


def removed(pos0: int, count: int) -> Variant:
    return at(pos0, lambda ref: ref[:1], count + 1)


def added(pos0: int, word: str) -> Variant:
    return at(pos0, lambda ref: ref + word)


#: Indels of one window: five that remove three letters, five that add four, and others.
MANY = [
    *(removed(pos0, 3) for pos0 in (72, 80, 81, 100, 125)),
    *(added(pos0, "GATA") for pos0 in (71, 85, 99, 110)),
    added(99, "CCCC"),
    snv(90),
    removed(77, 2),
    added(120, "T"),
]


@pytest.mark.parametrize("strand", ["+", "-"])
def test_indels_of_one_window_and_one_shift_are_splices(ism, genome, strand):
    place = Within([region(70, strand)], LENGTH)
    effects = score(ism, genome, MANY, place)
    for effect in effects:
        assert effect.window.strand == strand
        check(effect)
    assert [e.method for e in effects] == ["splice"] * 10 + ["fast", "naive", "naive"]
    # Fewer of them run through the whole model, as before, and have the same effects.
    for effect in effects[:10]:
        (alone,) = score(ism, genome, [effect.variant], place)
        assert alone.method == "naive"
        np.testing.assert_allclose(effect.effect, alone.effect, **NEAR)


# ---- models ------------------------------------------------------------------------------


def test_outputs_are_chosen_and_named(ism, genome):
    shapes = [(3,), (1,)]
    (every,) = score(ism, genome, [snv(100)])
    assert value_labels(["a", "b"], shapes) == ["a_0", "a_1", "a_2", "b"]
    chosen = {0: [2], 1: None}
    (some,) = score(ism, genome, [snv(100)], outputs=chosen)
    assert value_labels(["a", "b"], shapes, chosen) == ["a_2", "b"]
    np.testing.assert_allclose(some.effect, every.effect[[2, 3]], **NEAR)
    np.testing.assert_allclose(some.reference, every.reference[[2, 3]], **NEAR)
    assert value_labels(["a"], [(1,)]) == value_labels(["a"], [()]) == [""]


def test_the_alphabet_orders_the_channels(genome):
    order = [2, 0, 3, 1]  # G, A, T, C
    inputs = keras.Input((LENGTH, 4))
    first = keras.Model(inputs, MODEL(keras.ops.take(inputs, np.argsort(order), axis=2)))
    for effect in score(NaiveISM(first, batch_size=16), genome, MIXED, alphabet="gatc"):
        check(effect)


def test_models_that_do_not_fit(genome):
    inputs = keras.Input((LENGTH, 5))
    five = NaiveISM(keras.Model(inputs, layers.Flatten()(inputs)))
    with pytest.raises(FastISMError, match="takes 5 characters"):
        score(five, genome, [snv(100)])
    naive = NaiveISM(MODEL, batch_size=16)
    with pytest.raises(FastISMError, match="alphabet 'ACGU'"):
        score(naive, genome, [snv(100)], alphabet="ACGU")
    with pytest.raises(FastISMError, match="ambiguous='no'"):
        score(naive, genome, [snv(100)], ambiguous="no")


def test_outputs_that_are_not_finite(genome):
    inputs = keras.Input((LENGTH, 4))
    broken = keras.Model(inputs, keras.ops.log(layers.Flatten()(inputs) - 2.0))
    with pytest.raises(FastISMError, match=r"line 101 or its window.*--not-finite skip"):
        score(NaiveISM(broken, batch_size=16), genome, [snv(100)])


@pytest.mark.parametrize("method", [FastISM, NaiveISM])
def test_a_variant_for_which_the_model_is_infinite_is_told_or_kept(genome, method):
    """The logarithm of the number of A in the ten middle positions."""
    inputs = keras.Input((LENGTH, 4))
    count = layers.GlobalAveragePooling1D()(layers.Cropping1D(25)(inputs))
    model = keras.Model(inputs, keras.ops.log(count[:, :1]))
    ism = method(model)
    lonely = next(p for p in range(40, 350) if ONE[p] == "A" and ONE[p - 5 : p + 5].count("A") == 1)
    several = next(p for p in range(40, 350) if ONE[p - 5 : p + 5].count("A") > 2)
    variants = [snv(several), snv(lonely), snv(several, 2)]
    with pytest.raises(FastISMError, match=f"line {lonely + 1} or its window"):
        score(ism, genome, variants)
    first, skipped, last = score(ism, genome, variants, not_finite="skip")
    assert (first.status, last.status) == (Status.SCORED, Status.SCORED)
    assert (skipped.status, skipped.effect, skipped.method) == (Status.NOT_FINITE, None, "")
    _, kept, _ = score(ism, genome, variants, not_finite="keep")
    assert kept.status is Status.SCORED and kept.method == "naive"
    assert kept.effect.tolist() == [-np.inf]
    np.testing.assert_allclose(kept.reference, [np.log(0.1)], rtol=1e-6)


# ---- spellings ---------------------------------------------------------------------------

A_REPEAT = "".join(
    [random_letters(80, 11), "C" + "A" * 9 + "G", "T" + "GCA" * 5 + "T", random_letters(80, 12)]
)
RUN = 81  # the first A of nine
UNIT = 92  # the first G of GCAGCA...


def spelled(start: int, end: int, alt: str, left: int = 0, right: int = 0) -> Variant:
    """A change of [start, end), written with unchanged letters on either side."""
    before, after = A_REPEAT[start - left : start], A_REPEAT[end : end + right]
    ref = before + A_REPEAT[start:end] + after
    return Variant("r", start - left, ref, before + alt + after, ".", start + 1)


def contexts(start: int, end: int, alt: str) -> list[Variant]:
    """One change with more or fewer letters around it."""
    anchored = int(start == end or not alt)
    sides = [(0, 0), (1, 0), (3, 0), (0, 2), (2, 3)]
    return [spelled(start, end, alt, left + anchored, right) for left, right in sides]


SPELLINGS = {
    "snv": contexts(60, 61, other(A_REPEAT[60])),
    "mnv": contexts(60, 62, other(A_REPEAT[60]) + other(A_REPEAT[61])),
    "with-same-between": contexts(60, 63, other(A_REPEAT[60]) + A_REPEAT[61] + other(A_REPEAT[62])),
    "insertion": contexts(61, 61, "TTG"),
    "deletion": contexts(61, 64, ""),
    "one-more-a": [
        *contexts(RUN, RUN, "A"),
        *contexts(RUN + 4, RUN + 4, "A"),
        *contexts(RUN + 9, RUN + 9, "A"),
        spelled(RUN, RUN + 9, "A" * 10, 1, 1),
    ],
    "two-a-less": [*contexts(RUN, RUN + 2, ""), *contexts(RUN + 7, RUN + 9, "")],
    "one-unit-less": [
        *contexts(UNIT, UNIT + 3, ""),
        *contexts(UNIT + 1, UNIT + 4, ""),
        *contexts(UNIT + 12, UNIT + 15, ""),
    ],
    "one-unit-more": [*contexts(UNIT, UNIT, "GCA"), *contexts(UNIT + 14, UNIT + 14, "AGC")],
}


@pytest.fixture(scope="module")
def repeats(tmp_path_factory) -> Iterator[Genome]:
    path = write_fasta(tmp_path_factory.mktemp("repeats") / "genome.fa", {"r": A_REPEAT})
    with Genome(path) as opened:
        yield opened


@pytest.mark.parametrize("place", [None, Around(LENGTH, 7)], ids=["middle", "shared"])
@pytest.mark.parametrize("spellings", SPELLINGS.values(), ids=SPELLINGS.keys())
def test_all_spellings_of_a_variant_have_one_effect(ism, repeats, spellings, place):
    mutated = {A_REPEAT[: v.pos0] + v.alt + A_REPEAT[v.pos0 + len(v.ref) :] for v in spellings}
    assert len(mutated) == 1, "these are not spellings of one variant"
    first, *others = score(ism, repeats, spellings, place)
    assert first.status is Status.SCORED and np.abs(first.effect).max() > 0
    for each in others:
        assert (each.window, each.method) == (first.window, first.method)
        np.testing.assert_array_equal(each.effect, first.effect)


def test_the_shortest_spelling_is_that_of_normalised_files(repeats):
    made = [shortest(each, repeats) for each in SPELLINGS["one-more-a"]]
    assert {(v.pos0, v.ref, v.alt) for v in made} == {(RUN - 1, "C", "CA")}
    made = [shortest(each, repeats) for each in SPELLINGS["one-unit-less"]]
    assert {(v.pos0, v.ref, v.alt) for v in made} == {(UNIT - 1, "TGCA", "T")}
    same = Variant("r", 60, A_REPEAT[60:63], A_REPEAT[60:63].lower(), ".", 1)
    assert (shortest(same, repeats).ref, shortest(same, repeats).alt) == (A_REPEAT[60],) * 2


def test_spellings_at_the_start_of_a_chromosome(ism, tmp_path):
    letters = "AAAC" + random_letters(100, 13)
    path = write_fasta(tmp_path / "genome.fa", {"r": letters})
    with Genome(path) as genome:
        less = [Variant("r", 0, "AA", "A", ".", 1), Variant("r", 1, "AA", "A", ".", 2)]
        less.append(Variant("r", 0, "AAAC", "AAC", ".", 3))
        assert {(v.pos0, v.ref, v.alt) for v in (shortest(v, genome) for v in less)} == {
            (0, "A", "")
        }
        effects = score(ism, genome, less, pad=True)
    assert {e.status for e in effects} == {Status.SCORED}
    before = "." * 30 + letters[:30]
    after = "." * 30 + letters[1:31]
    reference, changed = predict([before, after])
    for effect in effects:
        np.testing.assert_allclose(effect.effect, changed - reference, **NEAR)


def test_windows_beyond_a_chromosome_are_padded_with_zeros(ism, genome):
    variants = [snv(0), snv(5), snv(395), snv(399), at(398, "TT"), at(390, "A", 5)]
    for effect in score(ism, genome, variants, pad=True):
        variant, window = effect.variant, effect.window
        assert effect.status is Status.SCORED
        padded = "." * 60 + ONE + "." * 60
        mutated = (
            "." * 60 + ONE[: variant.pos0] + variant.alt + ONE[variant.pos0 + len(variant.ref) :]
        ) + "." * 60
        cut = slice(window.start + 60, window.end + 60)
        reference, changed = predict([padded[cut], mutated[cut]])
        np.testing.assert_allclose(effect.effect, changed - reference, **NEAR)
    beyond = Variant("chr1", 400, "A", "C", ".", 1)
    assert score(ism, genome, [beyond], pad=True)[0].status is Status.OFF_CHROMOSOME


def test_chromosomes_of_other_names_are_renamed_on_request(ism, genome):
    named = [replace(snv(100), chrom="1"), replace(snv(100), chrom="CHR1")]
    with Genome(genome.path, rename=True) as renaming:
        effects = score(ism, renaming, [snv(100), *named])
    assert [e.window.chrom for e in effects] == ["chr1"] * 3
    assert [e.variant.chrom for e in effects] == ["chr1", "1", "CHR1"]
    for effect in effects:
        np.testing.assert_array_equal(effect.effect, effects[0].effect)


@pytest.mark.torch
def test_torch_modules(genome):
    torch = pytest.importorskip("torch", reason="the module is one of PyTorch")
    torch.manual_seed(0)
    module = torch.nn.Sequential(
        torch.nn.Conv1d(4, 5, 5), torch.nn.ReLU(), torch.nn.Flatten(), torch.nn.Linear(280, 2)
    ).eval()
    made = score(FastISM(module, seqlen=LENGTH), genome, MIXED)
    for effect in made:
        window, variant = effect.window, effect.variant
        letters = CHROMOSOMES[variant.chrom]
        mutated = letters[: variant.pos0] + variant.alt + letters[variant.pos0 + len(variant.ref) :]
        pair = [text[window.start : window.end] for text in (letters, mutated)]
        with torch.no_grad():
            x = torch.from_numpy(one_hot(pair).swapaxes(1, 2).copy())
            reference, changed = module(x).numpy()
        np.testing.assert_allclose(effect.effect, changed - reference, **NEAR)


def test_statuses_are_words_with_a_meaning():
    for status in Status:
        assert set(status.value) <= set(string.ascii_lowercase + "_")
        assert status.meaning
    assert len({status.meaning for status in Status}) == len(Status)
