from messages.vocabulary import Kind
from tests.policy.rows import Case, bodies, changed

TICK = Kind.TICK


def _grades(case: Case, *path: tuple[float, float]) -> list[str | None]:
    found = []
    for day, probability in path:
        changes = bodies(case.row(TICK, day, probability=probability), "score-changes")
        found.append(changes[0]["grade"] if changes else None)
    return found


def test_the_first_row_gives_a_grade() -> None:
    for probability, grade in ((0.05, "A"), (0.2, "B"), (0.5, "C")):
        change = bodies(Case().row(TICK, 1, probability=probability), "score-changes")[0]
        assert (change["grade"], change["previous_grade"], change["previous_probability"]) == (grade, None, None)


def test_a_worse_grade_counts_at_once() -> None:
    assert _grades(Case(), (1, 0.05), (1.01, 0.5)) == ["A", "C"]


def test_a_better_grade_waits_for_its_hold_and_comes_one_at_a_time() -> None:
    path = ((1, 0.5), (10, 0.05), (15.1, 0.05), (20, 0.05), (29.2, 0.05))
    assert _grades(Case(), *path) == ["C", "C", "B", None, "A"]


def test_between_leaving_and_entering_nothing_moves() -> None:
    path = ((1, 0.16), (40, 0.12), (41, 0.14), (42, 0.11), (80, 0.09))
    assert _grades(Case(), *path) == ["B", None, None, None, "A"]


def test_a_score_is_published_when_it_moved_by_the_step() -> None:
    case = Case()
    case.row(TICK, 1, probability=0.2)
    assert bodies(case.row(TICK, 2, probability=0.29), "score-changes") == []
    change = bodies(case.row(TICK, 3, probability=0.31), "score-changes")[0]
    assert (change["previous_probability"], change["default_probability"], change["grade"]) == (0.2, 0.31, "B")
    assert change["reasons"]


def test_where_a_grade_cannot_be_evaluated_nothing_improves_and_a_first_grade_is_the_one_in_doubt() -> None:
    policy = changed(
        (
            "C: {enter: default_probability >= 0.35, leave: default_probability < 0.25}",
            "C: {enter: default_probability / owed >= 0.35, leave: default_probability < 0.25}",
        )
    )
    assert _grades(Case(policy), (1, 0.05)) == ["C"]
    case = Case(policy, owed=1)
    assert _grades(case, (1, 0.5)) == ["C"]
    case.usual["owed"] = 0
    assert _grades(case, (90, 0.01)) == ["C"]
    case.usual["owed"] = 1
    assert _grades(case, (91, 0.01)) == ["B"]


def test_a_probability_that_is_no_number_counts_as_certain_default() -> None:
    drafts = Case().row(TICK, 1, probability=float("nan"))
    assert bodies(drafts, "score-changes")[0]["default_probability"] == 1.0
    assert "review" in [body["trigger"] for body in bodies(drafts, "warnings")]
