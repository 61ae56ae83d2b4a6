"""What ONNX says of operations, in every version."""

import onnx

from onnxtop.reader.schemas import history


def test_every_version_of_every_operation_is_in_its_history() -> None:
    told = {
        (each.name, each.since_version)
        for each in onnx.defs.get_all_schemas_with_history()
        if not each.domain
    }
    found = {(each.name, each.since_version) for name, _ in told for each in history(name)}
    assert found == told


def test_a_history_goes_back_from_the_newest_version() -> None:
    versions = [each.since_version for each in history("Clip")]
    assert versions == sorted(versions, reverse=True)
    assert versions[-4:] == [12, 11, 6, 1]


def test_what_is_no_operation_has_no_history() -> None:
    assert list(history("NoSuchOperation")) == []
