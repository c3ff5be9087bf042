"""Text for a terminal."""

from image_prompt.command_line import terminal


class Terminal(list):
    def isatty(self) -> bool:
        return True

    write = list.append

    def flush(self) -> None:
        pass


def test_a_progress_line_leaves_nothing_behind(monkeypatch):
    monkeypatch.setattr(terminal, "REDRAW_SECONDS", -1)
    written = Terminal()
    line = terminal.ProgressLine(written)
    line.show("a long line")
    line.show("short")
    line.clear()
    line.clear()
    assert written == ["\ra long line", "\rshort      ", "\r     \r"]


def test_a_progress_line_is_for_terminals(capsys):
    terminal.ProgressLine().show("50%")
    assert capsys.readouterr() == ("", "")


def test_long_names_stay_in_one_piece_and_are_not_mixed_with_their_text():
    link = "https://example.org/" + "a-b/" * 40
    assert terminal.wrapped(f"get {link} now") == ["get", link, "now"]
    assert terminal.described([("short", "text"), ("x" * 30, "text")]) == [
        "  short",
        "    text",
        "  " + "x" * 30,
        "    text",
    ]
    assert terminal.described([("a", "one"), ("bc", "")]) == ["  a   one", "  bc"]
