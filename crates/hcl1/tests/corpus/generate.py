#!/usr/bin/env python3
"""Records how a real `bao` binary reads HCL1 and lenient JSON.

Usage: generate.py PATH_TO_BAO [--only-cases | --only-values]

Writes two files beside this script:

cases.jsonl   Syntax only. One JSON object per line:
                name, group   identify the case
                text          the whole configuration file (or "b64": base64,
                              when the bytes are not valid UTF-8)
                accepted      whether bao parses the file
                bao           bao's message when it refused, without the path
              Each file is loaded with `bao agent -test-verify-only` together
              with a second, valid file, so that no rule about the meaning of a
              configuration has a say. A refusal whose message does not look
              like the parser's is printed as a warning.

values.jsonl  What a piece of text decodes to. One JSON object per line:
                name, syntax  "hcl" or "json"
                text / b64    the expression, as it stands after `key = ` (HCL)
                              or `"key":` (JSON)
                target        where it was placed:
                  contents    `template { contents = X }`, rendered by a real
                              agent against a development server (generic map,
                              strict string)
                  string      `log_level = X` (struct field of type string);
                              seen in the error message, lower-cased and
                              trimmed by bao
                  mode        `sink "file" { config { mode = X } }` (generic
                              map, integer); the value is the mode of the
                              written file as a decimal number
                value         the resulting text (or "value_b64": base64, when it
                              is not valid UTF-8); absent when refused
                refused       bao's message when it refused. Lines and columns in
                              it are those of the whole file that the expression
                              was embedded in. A message starting with "panic:"
                              means that bao crashed. bao refuses to render empty
                              contents, so there an empty string shows as the
                              error that neither contents nor source is given

The development server listens on a free port of 127.0.0.1 and is stopped at
the end. Nothing outside a temporary folder and this folder is written.
"""
import base64
import concurrent.futures
import json
import os
import re
import shutil
import socket
import subprocess
import sys
import tempfile
import time

HERE = os.path.dirname(os.path.abspath(__file__))
BASE = b'''auto_auth {
  method "token_file" { config = { token_file_path = "/nonexistent/token" } }
  sink "file" { config = { path = "/nonexistent/sink" } }
}
'''

CASES = []


def c(group, name, text):
    if isinstance(text, str):
        text = text.encode("utf-8")
    CASES.append((group, name, text))


def many(group, items):
    for name, text in items:
        c(group, name, text)


def nest(levels, opening, middle, closing):
    return opening * levels + middle + closing * levels


many("comments", [
    ("hash", "# text\nzz = 1\n"),
    ("hash_at_eof", "zz = 1 # text"),
    ("hash_only", "#"),
    ("hash_no_space", "#text\nzz=1#text\n"),
    ("hash_twice", "## # text\n"),
    ("slashes", "// text\nzz = 1\n"),
    ("slashes_at_eof", "zz = 1 // text"),
    ("slashes_only", "//"),
    ("slash_alone", "/\n"),
    ("slash_alone_at_eof", "/"),
    ("slash_space_slash", "/ / text\nzz = 1\n"),
    ("slash_after_value", "zz = 1 / 2\n"),
    ("block", "/* text */\nzz = 1\n"),
    ("block_lines", "/* a\nb\n c */\nzz = 1\n"),
    ("block_empty", "/**/\nzz = 1\n"),
    ("block_stars", "/*** a ***/\nzz = 1\n"),
    ("block_slash_star_slash", "/*/\nzz = 1\n"),
    ("block_at_eof", "zz = 1\n/* text */"),
    ("block_unterminated", "zz = 1\n/* text\n"),
    ("block_unterminated_at_eof", "/*"),
    ("block_unterminated_star", "/* text *"),
    ("block_nested", "/* a /* b */\nzz = 1\n"),
    ("block_nested_closed_twice", "/* a /* b */ c */\nzz = 1\n"),
    ("block_before_key", "/* a */ zz = 1\n"),
    ("block_between_key_and_equals", "zz /* a */ = 1\n"),
    ("block_between_equals_and_value", "zz = /* a */ 1\n"),
    ("block_after_value", "zz = 1 /* a */\n"),
    ("block_between_pairs", "zz = 1 /* a */ yy = 2\n"),
    ("block_between_key_and_brace", "zz /* a */ { a = 1 }\n"),
    ("block_between_label_and_brace", 'zz "a" /* a */ { a = 1 }\n'),
    ("block_before_closing_brace", "zz { a = 1 /* a */ }\n"),
    ("block_alone_in_braces", "zz { /* a */ }\n"),
    ("hash_after_equals", "zz = # a\n1\n"),
    ("slashes_after_equals", "zz = // a\n1\n"),
    ("hash_after_key", "zz # a\n= 1\n"),
    ("hash_after_opening_brace", "zz { # a\n a = 1\n}\n"),
    ("hash_before_closing_brace", "zz {\n a = 1 # a }\n}\n"),
    ("hash_hides_closing_brace", "zz { # }\n"),
    ("hash_between_key_and_brace", "zz # a\n{ a = 1 }\n"),
    ("in_string_not_comment", 'zz = "# // /* a"\n'),
    ("carriage_return_ends_hash", "# a\rzz = 1\n"),
    ("crlf_hash", "# a\r\nzz = 1\r\n"),
    ("crlf_block", "/* a\r\nb */\r\nzz = 1\r\n"),
    ("lone_cr_in_block", "/* a\rb */\nzz = 1\n"),
    ("only_comments", "# a\n// b\n/* c */\n"),
    ("non_ascii", "# é 日本 😀\nzz = 1\n"),
    ("invalid_utf8_hash", b"# \xff\nzz = 1\n"),
    ("invalid_utf8_block", b"/* \xc3 */\nzz = 1\n"),
    ("nul_in_hash", b"# \x00\nzz = 1\n"),
    ("nul_in_block", b"/* \x00 */\nzz = 1\n"),
    ("semicolon_comment", "; text\nzz = 1\n"),
    ("html_comment", "<!-- text -->\nzz = 1\n"),
    ("dashes_comment", "-- text\nzz = 1\n"),
    ("bom_in_comment", "# \ufeff\nzz = 1\n"),
])

many("strings", [
    ("empty", 'zz = ""\n'),
    ("plain", 'zz = "a b"\n'),
    ("escapes_all", r'zz = "\a\b\f\n\r\t\v\\\""' + "\n"),
    ("escape_quote", r'zz = "a\"b"' + "\n"),
    ("escape_backslash_at_end", r'zz = "a\\"' + "\n"),
    ("backslash_before_closing_quote", r'zz = "a\"' + "\n"),
    ("escape_slash", r'zz = "\/"' + "\n"),
    ("escape_single_quote", r'zz = "\'"' + "\n"),
    ("escape_e", r'zz = "\e"' + "\n"),
    ("escape_d", r'zz = "\d"' + "\n"),
    ("escape_space", 'zz = "\\ "\n'),
    ("escape_dollar", r'zz = "\$"' + "\n"),
    ("escape_dollar_brace", r'zz = "\${a}"' + "\n"),
    ("escape_brace", r'zz = "\{"' + "\n"),
    ("escape_question_mark", r'zz = "\?"' + "\n"),
    ("escape_newline", 'zz = "a\\\nb"\n'),
    ("escape_upper_n", r'zz = "\N"' + "\n"),
    ("octal_three", r'zz = "\101"' + "\n"),
    ("octal_zero", r'zz = "\000"' + "\n"),
    ("octal_377", r'zz = "\377"' + "\n"),
    ("octal_400", r'zz = "\400"' + "\n"),
    ("octal_777", r'zz = "\777"' + "\n"),
    ("octal_one_digit", r'zz = "\1"' + "\n"),
    ("octal_two_digits", r'zz = "\12"' + "\n"),
    ("octal_two_digits_then_letter", r'zz = "\12x"' + "\n"),
    ("octal_zero_alone", r'zz = "\0"' + "\n"),
    ("octal_eight", r'zz = "\128"' + "\n"),
    ("octal_eight_first", r'zz = "\800"' + "\n"),
    ("hex_two", r'zz = "\x41"' + "\n"),
    ("hex_upper", r'zz = "\xAF"' + "\n"),
    ("hex_ff", r'zz = "\xff"' + "\n"),
    ("hex_zero", r'zz = "\x00"' + "\n"),
    ("hex_one_digit", r'zz = "\x4"' + "\n"),
    ("hex_no_digit", r'zz = "\x"' + "\n"),
    ("hex_bad_digit", r'zz = "\x4g"' + "\n"),
    ("hex_upper_x", r'zz = "\X41"' + "\n"),
    ("u_four", r'zz = "\u00e9"' + "\n"),
    ("u_zero", r'zz = "\u0000"' + "\n"),
    ("u_three", r'zz = "\u0e9"' + "\n"),
    ("u_none", r'zz = "\u"' + "\n"),
    ("u_bad_digit", r'zz = "\u00eg"' + "\n"),
    ("u_braces", r'zz = "\u{e9}"' + "\n"),
    ("u_high_surrogate", r'zz = "\ud83d"' + "\n"),
    ("u_low_surrogate", r'zz = "\ude00"' + "\n"),
    ("u_surrogate_pair", r'zz = "\ud83d\ude00"' + "\n"),
    ("u_ffff", r'zz = "\uffff"' + "\n"),
    ("U_eight", r'zz = "\U0001F600"' + "\n"),
    ("U_seven", r'zz = "\U001F600"' + "\n"),
    ("U_max", r'zz = "\U0010FFFF"' + "\n"),
    ("U_above_max", r'zz = "\U00110000"' + "\n"),
    ("U_ffffffff", r'zz = "\Uffffffff"' + "\n"),
    ("U_surrogate", r'zz = "\U0000D800"' + "\n"),
    ("raw_newline", 'zz = "a\nb"\n'),
    ("raw_crlf", 'zz = "a\r\nb"\n'),
    ("raw_cr", 'zz = "a\rb"\n'),
    ("raw_tab", 'zz = "a\tb"\n'),
    ("raw_form_feed", 'zz = "a\fb"\n'),
    ("raw_bell", 'zz = "a\x07b"\n'),
    ("raw_delete", 'zz = "a\x7fb"\n'),
    ("raw_nul", b'zz = "a\x00b"\n'),
    ("raw_bom", 'zz = "a\ufeffb"\n'),
    ("raw_replacement_character", 'zz = "a\ufffdb"\n'),
    ("raw_private_use_u_e123", 'zz = "a\ue123b"\n'),
    ("raw_line_separator", 'zz = "a\u2028b"\n'),
    ("non_ascii", 'zz = "é 日本 😀"\n'),
    ("invalid_utf8_ff", b'zz = "\xff"\n'),
    ("invalid_utf8_truncated", b'zz = "\xc3"\n'),
    ("invalid_utf8_overlong", b'zz = "\xc0\x80"\n'),
    ("invalid_utf8_surrogate", b'zz = "\xed\xa0\x80"\n'),
    ("unterminated", 'zz = "a\n'),
    ("unterminated_at_eof", 'zz = "a'),
    ("unterminated_quote_only", 'zz = "'),
    ("unterminated_backslash_at_eof", 'zz = "a\\'),
    ("two_adjacent", 'zz = "a" "b"\n'),
    ("three_quotes", 'zz = """\n'),
    ("triple_quoted", 'zz = """a"""\n'),
    ("concatenated_plus", 'zz = "a" + "b"\n'),
    ("single_quotes", "zz = 'a'\n"),
    ("backticks", "zz = `a`\n"),
    ("single_quote_inside", "zz = \"it's\"\n"),
    ("string_after_bool", 'zz = true "a"\n'),
    ("long", 'zz = "' + "a" * 20000 + '"\n'),
])

many("interpolation", [
    ("plain", 'zz = "${a}"\n'),
    ("empty", 'zz = "${}"\n'),
    ("inner_quotes", 'zz = "${"a"}"\n'),
    ("inner_call", 'zz = "${file("a.txt")}"\n'),
    ("inner_nested", 'zz = "${"${"a"}"}"\n'),
    ("inner_braces", 'zz = "${ {a} }"\n'),
    ("inner_unbalanced_open", 'zz = "${ { }"\n'),
    ("unclosed", 'zz = "${a"\n'),
    ("unclosed_at_eof", 'zz = "${a'),
    ("unclosed_then_later_brace", 'zz = "${a"\nyy = "}"\n'),
    ("unclosed_then_later_string", 'zz = "${a"\nyy = "b"\n'),
    ("unclosed_closed_on_next_line", 'zz = "${a"\nyy = "} b"\n'),
    ("closing_brace_only", 'zz = "a}"\n'),
    ("two_closing_braces", 'zz = "${a}}"\n'),
    ("two_in_one", 'zz = "${a}${b}"\n'),
    ("newline_inside", 'zz = "${\na\n}"\n'),
    ("newline_inside_deep", 'zz = "${{\na}\n}"\n'),
    ("newline_after", 'zz = "${a}\n"\n'),
    ("crlf_inside", 'zz = "${\r\na\r\n}"\n'),
    ("doubled_dollar", 'zz = "$${a}"\n'),
    ("doubled_dollar_unclosed", 'zz = "$${a"\n'),
    ("tripled_dollar", 'zz = "$$${a}"\n'),
    ("dollar_alone", 'zz = "$"\n'),
    ("dollar_at_end", 'zz = "a$"\n'),
    ("dollar_space_brace", 'zz = "$ {a"\n'),
    ("dollar_name", 'zz = "$HOME"\n'),
    ("percent", 'zz = "%{ if a }b%{ endif }"\n'),
    ("percent_unclosed", 'zz = "%{ if a"\n'),
    ("percent_doubled", 'zz = "%%{a}"\n'),
    ("bad_escape_inside", r'zz = "${\d}"' + "\n"),
    ("escaped_quote_inside", r'zz = "${\"a\"}"' + "\n"),
    ("one_escaped_quote_inside", r'zz = "${\"}"' + "\n"),
    ("one_quote_inside", 'zz = "${"}"\n'),
    ("brace_in_inner_string", 'zz = "${"}"}"\n'),
    ("backslash_before_dollar_unclosed", r'zz = "\\${a"' + "\n"),
    ("escape_x24_brace_unclosed", r'zz = "\x24{a"' + "\n"),
    ("bare", "zz = ${a}\n"),
    ("bare_in_list", "zz = [${a}]\n"),
    ("in_key", '"${a}" = 1\n'),
    ("in_key_unclosed", '"${a" = 1\n'),
    ("in_label", 'zz "${a}" { }\n'),
    ("mustache", 'zz = "{{ with secret \\"a\\" }}{{ end }}"\n'),
    ("mustache_unbalanced", 'zz = "{{ a"\n'),
    ("comment_in", 'zz = "${ # a }"\n'),
    ("bad_escape_after", r'zz = "${a}\d"' + "\n"),
    ("nul_inside", b'zz = "${\x00}"\n'),
])

many("heredoc", [
    ("plain", "zz = <<EOT\na\nb\nEOT\n"),
    ("empty", "zz = <<EOT\nEOT\n"),
    ("one_blank_line", "zz = <<EOT\n\nEOT\n"),
    ("marker_at_eof", "zz = <<EOT\na\nEOT"),
    ("empty_marker_at_eof", "zz = <<EOT\nEOT"),
    ("missing_end", "zz = <<EOT\na\n"),
    ("missing_end_no_newline", "zz = <<EOT\na"),
    ("nothing_after_marker", "zz = <<EOT"),
    ("newline_after_marker_only", "zz = <<EOT\n"),
    ("no_marker", "zz = <<\na\n\n"),
    ("no_marker_at_eof", "zz = <<"),
    ("one_less_than", "zz = <EOT\na\nEOT\n"),
    ("three_less_than", "zz = <<<EOT\na\nEOT\n"),
    ("less_than_at_eof", "zz = <"),
    ("space_before_marker", "zz = << EOT\na\nEOT\n"),
    ("space_after_marker", "zz = <<EOT \na\nEOT\n"),
    ("tab_after_marker", "zz = <<EOT\t\na\nEOT\n"),
    ("comment_after_marker", "zz = <<EOT # a\na\nEOT\n"),
    ("space_after_end", "zz = <<EOT\na\nEOT \n"),
    ("space_after_end_then_end", "zz = <<EOT\na\nEOT \nEOT\n"),
    ("comment_after_end", "zz = <<EOT\na\nEOT # b\n"),
    ("text_after_end", "zz = <<EOT\na\nEOT b\nEOT\n"),
    ("comma_after_end", "zz = [<<EOT\na\nEOT\n, 1]\n"),
    ("comma_right_after_end", "zz = [<<EOT\na\nEOT, 1]\n"),
    ("bracket_right_after_end", "zz = [<<EOT\na\nEOT]\n"),
    ("bracket_on_next_line", "zz = [<<EOT\na\nEOT\n]\n"),
    ("brace_on_next_line", "zz { a = <<EOT\na\nEOT\n}\n"),
    ("brace_right_after_end", "zz { a = <<EOT\na\nEOT }\n"),
    ("two_in_list", "zz = [<<EOT\na\nEOT\n, <<EOT\nb\nEOT\n]\n"),
    ("prefix_of_line", "zz = <<EOT\nEOTX\nXEOT\nEOT\n"),
    ("other_case_end", "zz = <<EOT\na\neot\n"),
    ("lower_marker", "zz = <<eot\na\neot\n"),
    ("indented_end_plain", "zz = <<EOT\n  a\n  EOT\n"),
    ("tab_indented_end_plain", "zz = <<EOT\n\ta\n\tEOT\n"),
    ("dash_indented_end", "zz = <<-EOT\n  a\n  EOT\n"),
    ("dash_unindented_end", "zz = <<-EOT\n  a\nEOT\n"),
    ("dash_unindented_all", "zz = <<-EOT\na\nEOT\n"),
    ("dash_empty_unindented", "zz = <<-EOT\nEOT\n"),
    ("dash_empty_indented", "zz = <<-EOT\n  EOT\n"),
    ("dash_tab_end", "zz = <<-EOT\n\ta\n\tEOT\n"),
    ("dash_partly_indented", "zz = <<-EOT\n    a\n  b\n    EOT\n"),
    ("dash_marker_at_eof", "zz = <<-EOT\n  a\n  EOT"),
    ("dash_blank_line", "zz = <<-EOT\n  a\n\n  b\n  EOT\n"),
    ("dash_missing_end", "zz = <<-EOT\n  a\n"),
    ("dash_no_marker", "zz = <<-\n  a\n  \n"),
    ("dash_space_marker", "zz = <<- EOT\n  a\n  EOT\n"),
    ("two_dashes", "zz = <<--EOT\n  a\n  -EOT\n"),
    ("tilde", "zz = <<~EOT\n  a\n  EOT\n"),
    ("quoted_marker", 'zz = <<"EOT"\na\nEOT\n'),
    ("single_quoted_marker", "zz = <<'EOT'\na\nEOT\n"),
    ("digits_marker", "zz = <<123\na\n123\n"),
    ("digit_first_marker", "zz = <<1A\na\n1A\n"),
    ("dotted_marker", "zz = <<A.B\na\nA.B\n"),
    ("dashed_marker", "zz = <<A-B\na\nA-B\n"),
    ("underscore_marker", "zz = <<_A_\na\n_A_\n"),
    ("dot_first_marker", "zz = <<.A\na\n.A\n"),
    ("non_ascii_marker", "zz = <<ÉOT\na\nÉOT\n"),
    ("slash_marker", "zz = <<A/B\na\nA/B\n"),
    ("plus_marker", "zz = <<A+B\na\nA+B\n"),
    ("at_marker", "zz = <<@\na\n@\n"),
    ("colon_marker", "zz = <<A:B\na\nA:B\n"),
    ("crlf", "zz = <<EOT\r\na\r\nb\r\nEOT\r\n"),
    ("crlf_dash", "zz = <<-EOT\r\n  a\r\n  EOT\r\n"),
    ("crlf_start_only", "zz = <<EOT\r\na\nEOT\n"),
    ("crlf_end_only", "zz = <<EOT\na\nEOT\r\n"),
    ("cr_at_eof", "zz = <<EOT\r\na\r\nEOT\r"),
    ("lone_cr_after_marker", "zz = <<EOT\ra\nEOT\n"),
    ("cr_crlf_after_marker", "zz = <<EOT\r\r\na\nEOT\n"),
    ("unbalanced_dollar_brace", "zz = <<EOT\n${a\nEOT\n"),
    ("quotes_inside", 'zz = <<EOT\n"a\nEOT\n'),
    ("backslashes_inside", "zz = <<EOT\n\\d \\x\nEOT\n"),
    ("comment_marks_inside", "zz = <<EOT\n/* # //\nEOT\n"),
    ("heredoc_inside", "zz = <<EOT\n<<X\nEOT\n"),
    ("nul_inside", b"zz = <<EOT\na\x00b\nEOT\n"),
    ("invalid_utf8_inside", b"zz = <<EOT\n\xff\nEOT\n"),
    ("non_ascii_inside", "zz = <<EOT\né 日本 😀\nEOT\n"),
    ("bom_inside", "zz = <<EOT\na\ufeff\nEOT\n"),
    ("newline_before", "zz =\n<<EOT\na\nEOT\n"),
    ("next_pair_after", "zz = <<EOT\na\nEOT\nyy = 1\n"),
    ("no_equals", "zz <<EOT\na\nEOT\n"),
    ("as_key", "<<EOT\na\nEOT\n= 1\n"),
    ("as_label", "zz <<EOT\na\nEOT\n{ }\n"),
    ("long_marker", "zz = <<" + "A" * 5000 + "\na\n" + "A" * 5000 + "\n"),
    ("large", "zz = <<EOT\n" + "line of text\n" * 2000 + "EOT\n"),
])

NUMBERS = [
    "0", "1", "42", "-1", "-0", "--1", "+1", "-", "+", "00", "01", "007", "0640", "08", "09", "0189", "018.5",
    "0x0", "0x1f", "0X1F", "0xFF", "0x", "0xg", "0x1g", "-0x10", "0x1.8", "0x1e5", "0b101", "0o17",
    "1.5", "-1.5", "1.", ".5", "-.5", "1.2.3", "1..2", "0.5", "00.5", "1.0", "1e", "1e3", "1E3", "1e+3", "1e-3",
    "1e+", "1e-", "1.5e3", "1.5e", "1e3.5", "1e3e3", "-1e3", "1_000", "1,000", "1 000", "10s", "1.5s", "5m", "1a",
    "0xfg", "9223372036854775807", "9223372036854775808", "-9223372036854775808", "-9223372036854775809",
    "18446744073709551616", "1e400", "1e-400", "0xffffffffffffffffff", "07777777777777777777777777", "1" * 400,
    "Infinity", "NaN", "-inf", "1f", "1L", "1%", "0777", "0x7FFFFFFFFFFFFFFF", "- 1", "1e03", "0e1", "0.", "-0.0", "0.e1",
    "\u0661", "\uff11", "-a", "1-1", "1--1", "1+1", "0-", "-0x", "1.e3", "1.a",
]
for n in NUMBERS:
    c("numbers", n if len(n) < 40 else n[:8] + "_long", "zz = %s\n" % n)
many("numbers", [
    ("at_eof", "zz = 42"),
    ("zero_at_eof", "zz = 0"),
    ("minus_at_eof", "zz = -"),
    ("hex_prefix_at_eof", "zz = 0x"),
    ("dot_at_eof", "zz = 1."),
    ("exponent_at_eof", "zz = 1e"),
    ("eight_octal_at_eof", "zz = 08"),
    ("two_on_a_line", "zz = 1 2\n"),
    ("followed_by_string", 'zz = 1"a"\n'),
    ("followed_by_brace", "zz { a = 1}\n"),
    ("minus_before_brace", "zz { a = -}\n"),
    ("minus_in_list", "zz = [-]\n"),
    ("followed_by_comment", "zz = 1# a\n"),
    ("followed_by_block_comment", "zz = 1/* a */\n"),
    ("followed_by_equals", "zz = 1 = 2\n"),
    ("bad_octal_in_list", "zz = [08]\n"),
    ("glued_next_key", "zz = 1yy = 2\n"),
])

many("words", [
    ("true", "zz = true\n"),
    ("false", "zz = false\n"),
    ("True", "zz = True\n"),
    ("TRUE", "zz = TRUE\n"),
    ("yes", "zz = yes\n"),
    ("on", "zz = on\n"),
    ("null", "zz = null\n"),
    ("nil", "zz = nil\n"),
    ("none", "zz = None\n"),
    ("truex", "zz = truex\n"),
    ("true_at_eof", "zz = true"),
    ("true_dash", "zz = true-ish\n"),
    ("true_dot", "zz = true.a\n"),
    ("true_as_key", "true = 1\n"),
    ("false_as_key_nested", "zz { false = 1 }\n"),
    ("true_as_block", "true { a = 1 }\n"),
    ("true_as_label", "zz true { a = 1 }\n"),
    ("true_list", "zz = [true, false]\n"),
    ("not_true", "zz = !true\n"),
    ("null_as_key", "null = 1\n"),
    ("bare_identifier", "zz = abc\n"),
    ("bare_identifier_at_eof", "zz = abc"),
    ("bare_dotted", "zz = var.a\n"),
    ("bare_in_list", "zz = [abc]\n"),
    ("two_words", "zz = a b\n"),
])

many("lists", [
    ("empty", "zz = []\n"),
    ("empty_spaces", "zz = [ \n ]\n"),
    ("one", "zz = [1]\n"),
    ("two", "zz = [1, 2]\n"),
    ("mixed", 'zz = [1, "a", true, 1.5]\n'),
    ("trailing_comma", "zz = [1,]\n"),
    ("trailing_comma_newline", "zz = [\n 1,\n 2,\n]\n"),
    ("two_trailing_commas", "zz = [1,,]\n"),
    ("two_commas", 'zz = ["a",,"b"]\n'),
    ("three_commas", "zz = [1,,,2]\n"),
    ("comma_only", "zz = [,]\n"),
    ("commas_only", "zz = [,,]\n"),
    ("leading_comma", "zz = [,1]\n"),
    ("missing_comma_numbers", "zz = [1 2]\n"),
    ("missing_comma_strings", 'zz = ["a" "b"]\n'),
    ("newline_separated", 'zz = [\n "a"\n "b"\n]\n'),
    ("missing_comma_before_list", "zz = [1 [2]]\n"),
    ("missing_comma_between_lists", "zz = [[1] [2]]\n"),
    ("missing_comma_between_objects", "zz = [{ a = 1 } { a = 2 }]\n"),
    ("missing_comma_before_object", "zz = [1 { a = 2 }]\n"),
    ("missing_comma_after_object", "zz = [{ a = 1 } 2]\n"),
    ("missing_comma_after_list", "zz = [[1] 2]\n"),
    ("missing_comma_bool_first", "zz = [true false]\n"),
    ("missing_comma_after_number_bool", "zz = [1 true]\n"),
    ("missing_comma_heredoc", "zz = [<<A\na\nA\n <<B\nb\nB\n]\n"),
    ("semicolons", "zz = [1; 2]\n"),
    ("nested", "zz = [[1, 2], [3]]\n"),
    ("nested_empty", "zz = [[], []]\n"),
    ("nested_trailing_commas", "zz = [[1,],[2,],]\n"),
    ("objects", "zz = [{ a = 1 }, { b = 2 }]\n"),
    ("objects_newline_separated", "zz = [\n { a = 1 }\n { b = 2 }\n]\n"),
    ("empty_object", "zz = [{}]\n"),
    ("object_trailing_comma", "zz = [{ a = 1 },]\n"),
    ("deep_object", "zz = [{ a = [{ b = 1 }] }]\n"),
    ("comment_hash", "zz = [1, # a\n 2]\n"),
    ("comment_hash_before_comma", "zz = [1 # a\n, 2]\n"),
    ("comment_block", "zz = [1, /* a */ 2]\n"),
    ("comment_block_before_comma", "zz = [1 /* a */, 2]\n"),
    ("comment_only", "zz = [ # a\n]\n"),
    ("comment_block_only", "zz = [/* a */]\n"),
    ("comment_at_end", "zz = [1 # a\n]\n"),
    ("comment_after_trailing_comma", "zz = [1, # a\n]\n"),
    ("comment_lines_between", "zz = [\n # a\n 1,\n # b\n # c\n 2\n # d\n]\n"),
    ("comment_hides_bracket", "zz = [1 # ]\n"),
    ("comment_as_separator", "zz = [1 /* , */ 2]\n"),
    ("unclosed", "zz = [1, 2\n"),
    ("unclosed_at_eof", "zz = [1"),
    ("unclosed_empty", "zz = ["),
    ("unclosed_after_comma", "zz = [1,"),
    ("closed_twice", "zz = [1]]\n"),
    ("closed_by_brace", "zz = [1}\n"),
    ("equals_inside", "zz = [a = 1]\n"),
    ("assignment_of_quoted_inside", 'zz = ["a" = 1]\n'),
    ("no_equals", "zz [1]\n"),
    ("space_before_comma", "zz = [1 , 2]\n"),
    ("newline_before_comma", "zz = [1\n, 2]\n"),
    ("newline_after_equals", "zz =\n[1]\n"),
    ("labelled_object_inside", 'zz = [a { b = 1 }]\n'),
    ("index", "zz = a[0]\n"),
    ("then_pair_on_same_line", "zz = [1] yy = 2\n"),
    ("then_comma_pair", "zz = [1], yy = 2\n"),
    ("parentheses", "zz = (1, 2)\n"),
    ("long", "zz = [" + "1," * 10000 + "]\n"),
    ("nul_inside", b"zz = [1,\x00 2]\n"),
    ("at_root", "[1]\n"),
])

many("objects", [
    ("block_empty", "zz {}\n"),
    ("block_empty_newline", "zz {\n}\n"),
    ("assigned_empty", "zz = {}\n"),
    ("block", "zz {\n a = 1\n}\n"),
    ("assigned", "zz = {\n a = 1\n}\n"),
    ("one_line", "zz { a = 1 }\n"),
    ("one_line_two_without_comma", "zz { a = 1 b = 2 }\n"),
    ("one_line_two_with_comma", "zz { a = 1, b = 2 }\n"),
    ("trailing_comma", "zz { a = 1, }\n"),
    ("trailing_comma_newlines", "zz {\n a = 1,\n b = 2,\n}\n"),
    ("two_commas", "zz { a = 1,, b = 2 }\n"),
    ("leading_comma", "zz { , a = 1 }\n"),
    ("comma_only", "zz { , }\n"),
    ("comma_on_own_line", "zz {\n a = 1\n ,\n b = 2\n}\n"),
    ("semicolons", "zz { a = 1; b = 2 }\n"),
    ("semicolon_after_pair", "zz = 1;\n"),
    ("colon", "zz { a: 1 }\n"),
    ("colon_root", "zz: 1\n"),
    ("colon_quoted", 'zz = { "a": 1 }\n'),
    ("arrow", "zz = { a => 1 }\n"),
    ("double_equals", "zz == 1\n"),
    ("equals_twice", "zz = = 1\n"),
    ("plus_equals", "zz += 1\n"),
    ("colon_equals", "zz := 1\n"),
    ("no_spaces", "zz{a=1}\n"),
    ("no_spaces_assigned", "zz={a=1,b=2}\n"),
    ("two_blocks_on_a_line", "zz { a = 1 } yy { b = 2 }\n"),
    ("two_blocks_glued", "zz{a=1}yy{b=2}\n"),
    ("comma_between_blocks", "zz { a = 1 }, yy { b = 2 }\n"),
    ("comma_between_pairs_root", "zz = 1, yy = 2\n"),
    ("comma_after_pair_root", "zz = 1,\n"),
    ("two_commas_root", "zz = 1,,\n"),
    ("comma_first_root", ", zz = 1\n"),
    ("comma_only_root", ",\n"),
    ("pairs_without_separator_root", "zz = 1 yy = 2\n"),
    ("glued_after_string", 'zz = "a"yy = 2\n'),
    ("glued_after_list", "zz = [1]yy = 2\n"),
    ("brace_on_next_line", "zz\n{\n a = 1\n}\n"),
    ("brace_after_blank_lines", "zz\n\n\n{ a = 1 }\n"),
    ("assigned_brace_on_next_line", "zz =\n{ a = 1 }\n"),
    ("equals_on_next_line", "zz\n= 1\n"),
    ("value_on_next_line", "zz =\n1\n"),
    ("nested", "zz { a { b { c = 1 } } }\n"),
    ("nested_assigned", "zz = { a = { b = { c = 1 } } }\n"),
    ("quoted_key", '"zz" = 1\n'),
    ("quoted_key_block", '"zz" { "a" = 1 }\n'),
    ("quoted_key_with_space", '"z z" = 1\n'),
    ("quoted_key_empty", '"" = 1\n'),
    ("quoted_key_escape", r'"z\u007a" = 1' + "\n"),
    ("quoted_key_bad_escape", r'"\d" = 1' + "\n"),
    ("quoted_key_newline_escape", r'"a\nb" = 1' + "\n"),
    ("dotted_key", "z.z = 1\n"),
    ("dotted_key_nested", "zz { a.b.c = 1 }\n"),
    ("dot_at_end_of_key", "zz. = 1\n"),
    ("dot_first_key", ".zz = 1\n"),
    ("two_dots_key", "z..z = 1\n"),
    ("dashed_key", "z-z = 1\n"),
    ("dash_first_key", "-zz = 1\n"),
    ("dash_at_end_of_key", "zz- = 1\n"),
    ("underscore_key", "_zz = 1\n"),
    ("underscore_only_key", "_ = 1\n"),
    ("digit_in_key", "z1 = 1\n"),
    ("digit_first_key", "1z = 1\n"),
    ("numeric_key", "1 = 1\n"),
    ("numeric_key_nested", "zz { 1 = 2 }\n"),
    ("float_key", "1.5 = 1\n"),
    ("negative_key", "-1 = 1\n"),
    ("non_ascii_key", "é = 1\n"),
    ("non_ascii_key_inside", "zéz = 1\n"),
    ("cjk_key", "日本 = 1\n"),
    ("emoji_key", "😀 = 1\n"),
    ("combining_mark_key", "e\u0301 = 1\n"),
    ("arabic_digit_in_key", "a\u0661 = 1\n"),
    ("arabic_digit_first_key", "\u0661a = 1\n"),
    ("roman_numeral_key", "\u2163 = 1\n"),
    ("middle_dot_key", "a\u00b7b = 1\n"),
    ("slash_key", "a/b = 1\n"),
    ("colon_key", "a:b = 1\n"),
    ("at_key", "@a = 1\n"),
    ("dollar_key", "$a = 1\n"),
    ("star_key", "* = 1\n"),
    ("parenthesised_key", "(a) = 1\n"),
    ("single_quoted_key", "'a' = 1\n"),
    ("heredoc_key", "zz { <<A\na\nA\n= 1 }\n"),
    ("list_key", "[a] = 1\n"),
    ("label_quoted", 'zz "a" { b = 1 }\n'),
    ("label_bare", "zz a { b = 1 }\n"),
    ("label_glued_quoted", 'zz"a"{ b = 1 }\n'),
    ("label_two", 'zz "a" "b" { c = 1 }\n'),
    ("label_three_mixed", 'zz a "b" c { d = 1 }\n'),
    ("label_many", "zz " + "a " * 50 + "{ b = 1 }\n"),
    ("label_number", "zz 1 { b = 1 }\n"),
    ("label_dotted", "zz a.b-c { d = 1 }\n"),
    ("label_empty", 'zz "" { a = 1 }\n'),
    ("label_on_next_line", 'zz\n"a"\n{ b = 1 }\n'),
    ("label_comma", 'zz "a", "b" { c = 1 }\n'),
    ("label_then_equals_object", 'zz "a" = { b = 1 }\n'),
    ("label_then_equals_value", 'zz "a" = 1\n'),
    ("label_bare_then_equals_value", "zz a = 1\n"),
    ("label_list", "zz [a] { b = 1 }\n"),
    ("label_without_block", 'zz "a"\n'),
    ("label_without_block_then_pair", 'zz "a"\nyy = 1\n'),
    ("label_without_block_at_eof", 'zz "a"'),
    ("quoted_key_without_value", '"zz"\n'),
    ("labelled_nested_block_assigned", 'zz = { a "b" { c = 1 } }\n'),
    ("keys_only", "zz { a b c }\n"),
    ("value_only", 'zz { "a" }\n'),
    ("number_only", "zz { 1 }\n"),
    ("key_equals_missing_value", "zz =\n"),
    ("key_equals_at_eof", "zz ="),
    ("key_equals_space_at_eof", "zz = "),
    ("key_equals_comment_at_eof", "zz = # a"),
    ("key_equals_mid_file", "zz =\nyy = 1\n"),
    ("key_equals_before_block", "zz =\nyy { a = 1 }\n"),
    ("key_equals_before_brace", "zz { a = }\n"),
    ("key_equals_comma", "zz { a = , b = 1 }\n"),
    ("key_equals_nested_at_eof", "zz { a ="),
    ("key_only_at_eof", "zz"),
    ("key_only", "zz\n"),
    ("key_only_mid_file", "zz\nyy = 1\n"),
    ("key_only_in_braces", "zz { a }\n"),
    ("equals_alone", "=\n"),
    ("equals_first", "= 1\n"),
    ("equals_in_braces", "zz { = 1 }\n"),
    ("open_brace_alone_in_middle", "zz = 1\n{\n"),
    ("close_brace_alone", "}\n"),
    ("close_brace_after_pair", "zz = 1\n}\n"),
    ("close_bracket_alone", "]\n"),
    ("close_bracket_after_pair", "zz = 1\n]\n"),
    ("close_brace_then_pair", "zz { a = 1 }}\nyy = 2\n"),
    ("anonymous_block_after_pair", "zz = 1\n{ a = 1 }\n"),
    ("anonymous_block_in_braces", "zz { { a = 1 } }\n"),
    ("unclosed", "zz { a = 1\n"),
    ("unclosed_at_eof", "zz { a = 1"),
    ("unclosed_empty", "zz {"),
    ("unclosed_nested", "zz { a { b = 1 }\n"),
    ("unclosed_assigned", "zz = { a = 1\n"),
    ("closed_by_bracket", "zz { a = 1 ]\n"),
    ("duplicate_keys", "zz = 1\nzz = 2\n"),
    ("duplicate_keys_nested", "zz { a = 1 a = 2 }\n"),
    ("duplicate_blocks", "zz { a = 1 }\nzz { a = 2 }\n"),
    ("duplicate_value_and_block", "zz = 1\nzz { a = 2 }\n"),
    ("duplicate_labels", 'zz "a" { a = 1 }\nzz "a" { a = 2 }\n'),
    ("object_in_list_in_object", "zz { a = [{ b = { c = [1] } }] }\n"),
    ("deep_blocks_10", nest(10, "a { ", "b = 1", " }") + "\n"),
    ("deep_blocks_100", nest(100, "a { ", "b = 1", " }") + "\n"),
    ("deep_blocks_1000", nest(1000, "a { ", "b = 1", " }") + "\n"),
    ("deep_blocks_10000", nest(10000, "a { ", "b = 1", " }") + "\n"),
    ("deep_assigned_100", "zz = " + nest(100, "{ a = ", "1", " }") + "\n"),
    ("deep_assigned_10000", "zz = " + nest(10000, "{ a = ", "1", " }") + "\n"),
    ("deep_lists_100", "zz = " + nest(100, "[", "1", "]") + "\n"),
    ("deep_lists_10000", "zz = " + nest(10000, "[", "1", "]") + "\n"),
    ("deep_lists_and_objects_100", "zz = " + nest(100, "[{ a = ", "1", " }]") + "\n"),
    ("deep_unclosed_10000", "zz = " + "[" * 10000 + "\n"),
    ("deep_interpolation_10000", 'zz = "' + nest(10000, "${", "a", "}") + '"\n'),
    ("many_pairs", "".join("k%d = %d\n" % (i, i) for i in range(2000))),
])

many("file", [
    ("empty", ""),
    ("newline", "\n"),
    ("spaces", "   \n\t\n"),
    ("crlf_only", "\r\n\r\n"),
    ("crlf", "zz = 1\r\nyy {\r\n a = 1\r\n}\r\n"),
    ("cr_only_line_ends", "zz = 1\ryy = 2\r"),
    ("mixed_line_ends", "zz = 1\r\nyy = 2\nxx = 3\r\n"),
    ("tabs", "zz\t=\t1\n\tyy\t{\ta\t=\t1\t}\n"),
    ("form_feed", "zz = 1\n\fyy = 2\n"),
    ("vertical_tab", "zz = 1\n\vyy = 2\n"),
    ("no_break_space", "zz\u00a0= 1\n"),
    ("ideographic_space", "zz\u3000= 1\n"),
    ("zero_width_space", "zz\u200b= 1\n"),
    ("line_separator", "zz = 1\u2028yy = 2\n"),
    ("next_line_c1", "zz = 1\u0085yy = 2\n"),
    ("bom", "\ufeffzz = 1\n"),
    ("bom_only", "\ufeff"),
    ("bom_then_newline", "\ufeff\nzz = 1\n"),
    ("bom_in_middle", "zz = 1\n\ufeffyy = 2\n"),
    ("bom_before_json", '\ufeff{"zz": 1}'),
    ("utf16_le", "zz = 1\n".encode("utf-16")),
    ("nul_alone", b"\x00"),
    ("nul_first", b"\x00zz = 1\n"),
    ("nul_at_end", b"zz = 1\n\x00"),
    ("nul_between", b"zz = 1\n\x00\nyy = 2\n"),
    ("nul_in_key", b"z\x00z = 1\n"),
    ("nul_before_value", b"zz = \x001\n"),
    ("nul_in_braces", b"zz { a = 1 \x00 }\n"),
    ("garbage_after_nul", b"zz = 1\n\x00 } ] ' @\n"),
    ("escape_character", "\x1bzz = 1\n"),
    ("control_z", "zz = 1\n\x1a"),
    ("delete_character", "\x7f\n"),
    ("invalid_utf8_first", b"\xffzz = 1\n"),
    ("invalid_utf8_in_key", b"z\xffz = 1\n"),
    ("invalid_utf8_value", b"zz = \xff\n"),
    ("invalid_utf8_between", b"zz = 1\n\xc3\nyy = 2\n"),
    ("invalid_utf8_at_end", b"zz = 1\n\xff"),
    ("latin1", b"zz = \"caf\xe9\"\n"),
    ("replacement_character_as_text", "\ufffd = 1\n"),
    ("replacement_character_in_key", "a\ufffd = 1\n"),
    ("private_use_u_e123", "\ue123 = 1\n"),
    ("private_use_u_e000", "\ue000 = 1\n"),
    ("private_use_in_key", "a\ue123 = 1\n"),
    ("no_final_newline", "zz = 1"),
    ("at_sign", "@\n"),
    ("question_mark", "?\n"),
    ("backslash", "\\\n"),
    ("line_continuation", "zz = \\\n1\n"),
    ("double_quote_alone", '"\n'),
    ("ampersand", "zz = 1 & 2\n"),
    ("pipe", "zz = 1 | 2\n"),
    ("caret", "^\n"),
    ("tilde", "~\n"),
    ("exclamation_mark", "!\n"),
    ("percent_sign", "%\n"),
    ("parenthesis", "(\n"),
    ("dot_alone", ".\n"),
    ("dash_alone", "-\n"),
    ("plus_alone", "+\n"),
    ("plus_between", "zz = 1 + yy = 2\n"),
    ("yaml", "zz:\n  - a\n"),
    ("yaml_start", "---\nzz: 1\n"),
    ("toml_table", "[zz]\na = 1\n"),
    ("xml", "<zz/>\n"),
    ("shebang", "#!/bin/sh\nzz = 1\n"),
    ("smart_quotes", "zz = \u201ca\u201d\n"),
])

many("hcl2", [
    ("function_call", 'zz = file("a")\n'),
    ("function_call_no_arguments", "zz = timestamp()\n"),
    ("reference", "zz = local.a\n"),
    ("index_reference", "zz = a[0].b\n"),
    ("splat", "zz = a.*.b\n"),
    ("for_list", "zz = [for a in b : a]\n"),
    ("for_object", "zz = { for a in b : a => 1 }\n"),
    ("ternary", "zz = true ? 1 : 2\n"),
    ("ternary_strings", 'zz = a == "b" ? "c" : "d"\n'),
    ("arithmetic", "zz = 1 + 2\n"),
    ("multiplication", "zz = 2 * 3\n"),
    ("comparison", "zz = 1 < 2\n"),
    ("less_less", "zz = 1 << 2\n"),
    ("logical", "zz = true && false\n"),
    ("negation", "zz = -a\n"),
    ("parentheses", "zz = (1)\n"),
    ("attribute_path", "a.b = 1\n"),
    ("null", "zz = null\n"),
    ("object_with_colon", 'zz = { a : "b" }\n'),
    ("template_string_call", 'zz = "${file("a")}"\n'),
    ("template_if", 'zz = "%{ if true }a%{ else }b%{ endif }"\n'),
    ("heredoc_template", "zz = <<-EOT\n  ${a}\n  %{ if b }\n  EOT\n"),
    ("ellipsis", "zz = a(b...)\n"),
    ("dynamic_block", 'dynamic "zz" {\n for_each = [1]\n content {\n a = 1\n }\n}\n'),
    ("dynamic_block_reference", 'dynamic "zz" {\n for_each = var.a\n}\n'),
    ("quoted_interpolation_key", '"${var.a}" = 1\n'),
    ("parenthesised_key", "zz = { (a) = 1 }\n"),
    ("bare_type", "zz { type = string }\n"),
])

many("json", [
    ("empty_object", "{}"),
    ("empty_object_spaces", " \n {\n}\n"),
    ("lone_open_brace", "{"),
    ("lone_open_brace_newline", "{\n"),
    ("lone_open_brace_spaces", "  {  "),
    ("open_brace_key", '{"zz"'),
    ("open_brace_key_colon", '{"zz":'),
    ("open_brace_pair", '{"zz": 1'),
    ("open_brace_pair_comma", '{"zz": 1,'),
    ("nested_unclosed", '{"zz": {"a": 1}'),
    ("nested_unclosed_empty", '{"zz": {'),
    ("list_unclosed", '{"zz": [1}'),
    ("list_unclosed_at_eof", '{"zz": [1'),
    ("list_unclosed_after_comma", '{"zz": [1,'),
    ("pair", '{"zz": 1}'),
    ("two_pairs", '{"zz": 1, "yy": 2}'),
    ("missing_comma", '{"zz": 1 "yy": 2}'),
    ("missing_comma_newline", '{"zz": 1\n"yy": 2}'),
    ("missing_colon", '{"zz" 1}'),
    ("missing_value", '{"zz":}'),
    ("missing_value_comma", '{"zz":, "yy": 1}'),
    ("missing_colon_object", '{"zz" {"a": 1}}'),
    ("equals_for_colon", '{"zz" = 1}'),
    ("two_colons", '{"zz":: 1}'),
    ("two_keys_one_colon", '{"zz" "yy": 1}'),
    ("trailing_comma_object", '{"zz": 1,}'),
    ("trailing_comma_list", '{"zz": [1,]}'),
    ("two_trailing_commas_object", '{"zz": 1,,}'),
    ("two_trailing_commas_list", '{"zz": [1,,]}'),
    ("two_commas_object", '{"zz": 1,, "yy": 2}'),
    ("two_commas_list", '{"zz": [1,,2]}'),
    ("leading_comma_object", '{,"zz": 1}'),
    ("leading_comma_list", '{"zz": [,1]}'),
    ("comma_only_object", "{,}"),
    ("comma_only_list", '{"zz": [,]}'),
    ("list_missing_comma", '{"zz": [1 2]}'),
    ("list_missing_comma_strings", '{"zz": ["a" "b"]}'),
    ("list_missing_comma_objects", '{"zz": [{"a": 1} {"b": 2}]}'),
    ("list_missing_comma_lists", '{"zz": [[1] [2]]}'),
    ("list_newline_separated", '{"zz": [1\n2]}'),
    ("comment_hash_inside", '{\n# a\n"zz": 1}'),
    ("comment_slashes_inside", '{\n// a\n"zz": 1}'),
    ("comment_block_inside", '{ /* a */ "zz": 1}'),
    ("comment_before", '# a\n{"zz": 1}'),
    ("comment_slashes_before", '// a\n{"zz": 1}'),
    ("comment_after", '{"zz": 1} # a'),
    ("comment_slashes_after", '{"zz": 1}\n// a\n'),
    ("comment_block_after", '{"zz": 1}\n/* a */\n'),
    ("comment_as_key", '{"//": "a", "_comment": "b", "zz": 1}'),
    ("trailing_garbage_word", '{"zz": 1} abc'),
    ("trailing_garbage_brace", '{"zz": 1}}'),
    ("trailing_garbage_bracket", '{"zz": 1}]'),
    ("trailing_garbage_comma", '{"zz": 1},'),
    ("trailing_garbage_string", '{"zz": 1} "a"'),
    ("trailing_garbage_number", '{"zz": 1} 1'),
    ("trailing_garbage_illegal", '{"zz": 1} @'),
    ("trailing_hcl", '{"zz": 1}\nyy = 2\n'),
    ("trailing_nul", b'{"zz": 1}\x00'),
    ("two_documents", '{"zz": 1}{"yy": 2}'),
    ("two_documents_newline", '{"zz": 1}\n{"yy": 2}\n'),
    ("bom", '\ufeff{"zz": 1}'),
    ("leading_newlines", '\n\n  {"zz": 1}'),
    ("leading_tab", '\t{"zz": 1}'),
    ("leading_cr", '\r\n{"zz": 1}'),
    ("leading_form_feed", '\f{"zz": 1}'),
    ("leading_no_break_space", '\u00a0{"zz": 1}'),
    ("crlf", '{\r\n"zz": 1,\r\n"yy": 2\r\n}\r\n'),
    ("tabs", '{\t"zz"\t:\t1\t}'),
    ("form_feed_inside", '{\f"zz": 1}'),
    ("nul_inside", b'{\x00"zz": 1}'),
    ("nul_in_string", b'{"zz": "a\x00b"}'),
    ("nul_after_pair", b'{"zz": 1 \x00}'),
    ("single_quotes", "{'zz': 1}"),
    ("single_quotes_value", '{"zz": \'a\'}'),
    ("bare_key", "{zz: 1}"),
    ("bare_key_equals", "{zz = 1}"),
    ("true_key", "{true: 1}"),
    ("number_key", "{1: 1}"),
    ("null_key", "{null: 1}"),
    ("list_key", '{["a"]: 1}'),
    ("bare_value", '{"zz": abc}'),
    ("true", '{"zz": true}'),
    ("false", '{"zz": false}'),
    ("null", '{"zz": null}'),
    ("null_in_list", '{"zz": [null]}'),
    ("True", '{"zz": True}'),
    ("NULL", '{"zz": NULL}'),
    ("nil", '{"zz": nil}'),
    ("undefined", '{"zz": undefined}'),
    ("nan", '{"zz": NaN}'),
    ("infinity", '{"zz": Infinity}'),
    ("string_empty", '{"zz": ""}'),
    ("string_empty_key", '{"": 1}'),
    ("string_key_space", '{"z z": 1}'),
    ("string_key_newline_escape", r'{"z\nz": 1}'),
    ("string_key_unicode_escape", r'{"\u007az": 1}'),
    ("string_escapes_json", r'{"zz": "\"\\\/\b\f\n\r\t"}'),
    ("string_escape_a", r'{"zz": "\a"}'),
    ("string_escape_v", r'{"zz": "\v"}'),
    ("string_escape_octal", r'{"zz": "\101"}'),
    ("string_escape_octal_zero", r'{"zz": "\0"}'),
    ("string_escape_hex", r'{"zz": "\x41"}'),
    ("string_escape_upper_u", r'{"zz": "\U0001F600"}'),
    ("string_escape_single_quote", r'{"zz": "\'"}'),
    ("string_escape_d", r'{"zz": "\d"}'),
    ("string_escape_dollar", r'{"zz": "\$"}'),
    ("string_escape_newline", '{"zz": "a\\\nb"}'),
    ("string_u", r'{"zz": "\u00e9"}'),
    ("string_u_upper_digits", r'{"zz": "\u00E9"}'),
    ("string_u_zero", r'{"zz": "\u0000"}'),
    ("string_u_pair", r'{"zz": "\ud83d\ude00"}'),
    ("string_u_high_alone", r'{"zz": "\ud83d"}'),
    ("string_u_low_alone", r'{"zz": "\ude00"}'),
    ("string_u_three_digits", r'{"zz": "\u0e9"}'),
    ("string_u_bad_digit", r'{"zz": "\u00eg"}'),
    ("string_u_none", r'{"zz": "\u"}'),
    ("string_raw_newline", '{"zz": "a\nb"}'),
    ("string_raw_crlf", '{"zz": "a\r\nb"}'),
    ("string_raw_cr", '{"zz": "a\rb"}'),
    ("string_raw_tab", '{"zz": "a\tb"}'),
    ("string_raw_bell", '{"zz": "a\x07b"}'),
    ("string_raw_delete", '{"zz": "a\x7fb"}'),
    ("string_raw_bom", '{"zz": "a\ufeffb"}'),
    ("string_non_ascii", '{"zz": "é 日本 😀"}'),
    ("string_invalid_utf8", b'{"zz": "\xff"}'),
    ("string_invalid_utf8_truncated", b'{"zz": "\xc3"}'),
    ("string_invalid_utf8_surrogate", b'{"zz": "\xed\xa0\x80"}'),
    ("string_unterminated", '{"zz": "a}'),
    ("string_unterminated_at_eof", '{"zz": "a'),
    ("string_quote_inside", r'{"zz": "a\"b"}'),
    ("string_interpolation", '{"zz": "${a}"}'),
    ("string_interpolation_unclosed", '{"zz": "${a"}'),
    ("string_interpolation_unclosed_then_brace", '{"zz": "${a", "yy": "}"}'),
    ("string_interpolation_inner_quotes", '{"zz": "${"a"}"}'),
    ("string_interpolation_inner_escaped_quotes", r'{"zz": "${file(\"a\")}"}'),
    ("string_interpolation_bad_escape", r'{"zz": "${\d}"}'),
    ("string_interpolation_json_escape", r'{"zz": "${\n}"}'),
    ("string_interpolation_newline", '{"zz": "${\na}"}'),
    ("string_interpolation_nested", '{"zz": "${a{b}c}"}'),
    ("string_interpolation_doubled", '{"zz": "$${a}"}'),
    ("string_interpolation_doubled_unclosed", '{"zz": "$${a"}'),
    ("string_dollar", '{"zz": "$"}'),
    ("string_closing_brace", '{"zz": "}"}'),
    ("string_percent_unclosed", '{"zz": "%{a"}'),
    ("string_long", '{"zz": "' + "a" * 20000 + '"}'),
    ("heredoc", '{"zz": <<EOT\na\nEOT\n}'),
    ("hcl_block_inside", '{"zz" {"a": 1}}'),
    ("hcl_pair_inside", "{ zz = 1 }"),
    ("empty_list", '{"zz": []}'),
    ("nested_empty_object", '{"zz": {}}'),
    ("nested_empty_object_deep", '{"zz": {"a": {"b": {}}}}'),
    ("list_of_empty_objects", '{"zz": [{}, {}]}'),
    ("nested_lists", '{"zz": [[1, 2], [[3]], []]}'),
    ("nested_objects", '{"zz": {"a": {"b": {"c": 1}}}}'),
    ("list_of_objects", '{"zz": [{"a": 1}, {"a": 2}]}'),
    ("list_mixed", '{"zz": [1, "a", true, null, 1.5, {"a": 1}, [1]]}'),
    ("list_of_object_then_scalar", '{"zz": [{"a": 1}, 2]}'),
    ("duplicate_keys", '{"zz": 1, "zz": 2}'),
    ("duplicate_keys_objects", '{"zz": {"a": 1}, "zz": {"a": 2}}'),
    ("duplicate_keys_mixed", '{"zz": 1, "zz": {"a": 2}}'),
    ("deep_objects_100", nest(100, '{"a":', "1", "}")),
    ("deep_objects_10000", nest(10000, '{"a":', "1", "}")),
    ("deep_lists_100", '{"zz":' + nest(100, "[", "1", "]") + "}"),
    ("deep_lists_10000", '{"zz":' + nest(10000, "[", "1", "]") + "}"),
    ("semicolon", '{"zz": 1; "yy": 2}'),
    ("parentheses", '{"zz": (1)}'),
    ("closed_by_bracket", '{"zz": 1]'),
    ("list_closed_by_brace", '{"zz": [1}}'),
    ("pair_in_list", '{"zz": ["a": 1]}'),
    ("object_in_object_without_key", '{{"a": 1}}'),
    ("string_in_object_alone", '{"zz"}'),
    ("number_in_object_alone", "{1}"),
    ("list_in_object_alone", "{[1]}"),
    ("block_of_braces", "{}{}"),
    ("brace_and_newline_hcl", '{\n  zz {\n a = 1\n }\n}\n'),
])
JSON_NUMBERS = [
    "0", "-0", "1", "-1", "--1", "+1", "-", "01", "-01", "00", "08", "0640", "0x1f", "1.5", "-1.5", "1.", ".5", "1.2.3", "1e3",
    "1E3", "1e+3", "1e-3", "1e", "1e+", "1.5e3", "0.5", "0e1", "1_000", "10s", "9223372036854775807", "9223372036854775808",
    "1e400", "1" * 400, "1a", "-a", "1f", "0.", "1.e3", "-.5", "00.5",
]
for n in JSON_NUMBERS:
    c("json_numbers", n if len(n) < 40 else n[:8] + "_long", '{"zz": %s}' % n)

# The value at the root of the file: not always a matter of the parser alone.
many("root", [
    ("json_list", "[]"),
    ("json_list_of_object", '[{"zz": 1}]'),
    ("json_string", '"a"'),
    ("json_number", "1"),
    ("json_null", "null"),
    ("json_true", "true"),
    ("json_two_open_braces", "{{"),
    ("json_close_brace", "}"),
    ("hcl_root_braces", "{ zz = 1 }"),
    ("hcl_object_value_alone", '"a" { }'),
])

VALUES = []


def v(target, name, text, syntax="hcl"):
    if isinstance(text, str):
        text = text.encode("utf-8")
    VALUES.append((target, name, syntax, text))


for name, text in [
    ("plain", '"a b"'),
    ("escape_a", r'"\a"'), ("escape_b", r'"\b"'), ("escape_f", r'"\f"'), ("escape_n", r'"\n"'), ("escape_r", r'"\r"'),
    ("escape_t", r'"\t"'), ("escape_v", r'"\v"'), ("escape_backslash", r'"\\"'), ("escape_quote", r'"\""'),
    ("escape_all_in_text", r'"x\ay\bz\f1\n2\r3\t4\v5\\6\"7"'),
    ("escape_backslash_n", r'"\\n"'), ("escape_two_backslashes", r'"\\\\"'),
    ("octal_101", r'"\101"'), ("octal_000", r'"a\000b"'), ("octal_177", r'"\177"'), ("octal_200", r'"\200"'), ("octal_377", r'"\377"'),
    ("octal_400", r'"\400"'), ("octal_777", r'"\777"'), ("octal_then_digit", r'"\1018"'), ("octal_two_in_row", r'"\101\102"'),
    ("hex_41", r'"\x41"'), ("hex_00", r'"a\x00b"'), ("hex_7f", r'"\x7f"'), ("hex_80", r'"\x80"'), ("hex_e9", r'"\xe9"'), ("hex_ff", r'"\xff"'),
    ("hex_utf8_sequence", r'"\xc3\xa9"'), ("hex_then_digit", r'"\x412"'),
    ("u_00e9", r'"\u00e9"'), ("u_0041", r'"\u0041"'), ("u_0000", r'"a\u0000b"'), ("u_20ac", r'"\u20ac"'), ("u_ffff", r'"\uffff"'),
    ("u_feff", r'"\ufeff"'), ("u_then_digit", r'"\u00411"'), ("u_surrogate_pair", r'"\ud83d\ude00"'), ("u_surrogate_alone", r'"\ud83d"'),
    ("U_1f600", r'"\U0001F600"'), ("U_10ffff", r'"\U0010FFFF"'), ("U_110000", r'"\U00110000"'), ("U_surrogate", r'"\U0000D800"'),
    ("non_ascii", '"é 日本 😀"'), ("raw_tab", '"a\tb"'), ("raw_cr", '"a\rb"'), ("raw_delete", '"a\x7fb"'), ("raw_control", '"a\x01b"'),
    ("raw_replacement", '"a\ufffdb"'), ("raw_bom", '"a\ufeffb"'), ("raw_nul", b'"a\x00b"'),
    ("braces", '"{a}"'), ("closing_brace", '"a}b"'), ("comment_marks", '"# // /* */"'), ("single_quotes", "\"it's\""),
    ("interpolation", '"a ${b} c"'), ("interpolation_empty", '"${}"'), ("interpolation_quotes", '"${"a"}"'),
    ("interpolation_call", '"${file("a.txt")}"'), ("interpolation_nested", '"${"${"a"}"}"'), ("interpolation_braces", '"${ {a} }"'),
    ("interpolation_escapes", r'"${\n\t\\}"'), ("interpolation_unknown_escape", r'"${\d}"'), ("interpolation_escaped_quotes", r'"${\"a\"}"'),
    ("interpolation_escape_octal", r'"${\101}"'), ("interpolation_escape_hex", r'"${\x41}"'), ("interpolation_escape_u", r'"${\u00e9}"'),
    ("interpolation_newline", '"${\na\n}"'), ("interpolation_crlf", '"${\r\na\r\n}"'), ("interpolation_tab", '"${\ta}"'),
    ("interpolation_then_escape", r'"${a}\n"'), ("escape_then_interpolation", r'"\n${a}"'), ("interpolation_two", r'"${a}\t${b}"'),
    ("interpolation_twice_closed", '"${a}}"'), ("doubled_dollar", '"$${a}"'), ("tripled_dollar", '"$$${a}"'), ("dollar", '"$"'),
    ("dollar_name", '"$HOME $1 $(a)"'), ("dollar_at_end", '"a$"'), ("percent", '"%{ if a }b%{ endif }"'), ("percent_doubled", '"%%{a}"'),
    ("escaped_dollar_hex", r'"\x24{a"'), ("escape_before_interpolation", r'"\\${a}"'),
    ("mustache", r'"{{ with secret \"a\" }}{{ .Data }}{{ end }}"'),
    ("heredoc", "<<EOT\na\nb\nEOT"), ("heredoc_one_line", "<<EOT\na\nEOT"), ("heredoc_blank_line", "<<EOT\n\nEOT"),
    ("heredoc_blank_lines", "<<EOT\n\n\na\n\nEOT"), ("heredoc_spaces", "<<EOT\n  a  \n\tb\t\nEOT"),
    ("heredoc_indented_end", "<<EOT\n  a\n    EOT"), ("heredoc_tab_indented_end", "<<EOT\n  a\n\tEOT"),
    ("heredoc_marker_prefix", "<<EOT\nEOTX\nXEOT\nEOT EOT\nEOT"), ("heredoc_marker_with_space", "<<EOT\na\nEOT \nEOT"),
    ("heredoc_escapes", "<<EOT\n\\n \\t \\d \\x \\\\ \\\"\nEOT"), ("heredoc_quotes", "<<EOT\n\"a\" 'b'\nEOT"),
    ("heredoc_interpolation", "<<EOT\n${a} $${b} %{c}\nEOT"), ("heredoc_interpolation_unclosed", "<<EOT\n${a\nEOT"),
    ("heredoc_comment_marks", "<<EOT\n# a\n// b\n/* c\nEOT"), ("heredoc_crlf", "<<EOT\r\na\r\nb\r\nEOT\r\n"),
    ("heredoc_crlf_lf_end", "<<EOT\r\na\r\nb\r\nEOT"), ("heredoc_lone_cr", "<<EOT\na\rb\nEOT"), ("heredoc_non_ascii", "<<EOT\né 日本 😀\nEOT"),
    ("heredoc_nul", b"<<EOT\na\x00b\nEOT"), ("heredoc_invalid_utf8", b"<<EOT\na\xffb\nEOT"), ("heredoc_empty", "<<EOT\nEOT"),
    ("heredoc_odd_marker", "<<A.B-C_1\na\nA.B-C_1"), ("heredoc_digit_marker", "<<1\na\n1"), ("heredoc_non_ascii_marker", "<<É\na\nÉ"),
    ("heredoc_bom", "<<EOT\n\ufeffa\nEOT"), ("heredoc_inner_heredoc", "<<EOT\n<<X\na\nX\nEOT"),
    ("heredoc_marker_dash_inside", "<<EOT-\na\nEOT-"), ("heredoc_mustache", '<<EOT\n{{ with secret "a" }}{{ end }}\nEOT'),
    ("dash", "<<-EOT\n  a\n  b\n  EOT"), ("dash_deeper_lines", "<<-EOT\n  a\n    b\n  EOT"), ("dash_one_short_line", "<<-EOT\n    a\n  b\n    EOT"),
    ("dash_unindented_line", "<<-EOT\n  a\nb\n  EOT"), ("dash_blank_line", "<<-EOT\n  a\n\n  b\n  EOT"),
    ("dash_blank_line_with_spaces", "<<-EOT\n  a\n  \n  b\n  EOT"), ("dash_blank_line_short_spaces", "<<-EOT\n    a\n \n    b\n    EOT"),
    ("dash_tabs", "<<-EOT\n\ta\n\t\tb\n\tEOT"), ("dash_tab_end_space_lines", "<<-EOT\n  a\n\tEOT"), ("dash_space_end_tab_lines", "<<-EOT\n\ta\n EOT"),
    ("dash_mixed", "<<-EOT\n \ta\n \tb\n \tEOT"), ("dash_end_deeper", "<<-EOT\n  a\n      EOT"), ("dash_end_shallower", "<<-EOT\n      a\n  EOT"),
    ("dash_crlf", "<<-EOT\r\n  a\r\n  b\r\n  EOT\r\n"), ("dash_crlf_blank", "<<-EOT\r\n  a\r\n\r\n  b\r\n  EOT\r\n"), ("dash_empty", "<<-EOT\n  EOT"),
    ("dash_one_space", "<<-EOT\n a\n EOT"), ("dash_first_line_short", "<<-EOT\na\n    b\n    EOT"), ("dash_last_line_short", "<<-EOT\n    a\nb\n    EOT"),
    ("dash_escapes", "<<-EOT\n  \\n ${a\n  EOT"), ("dash_marker_prefix", "<<-EOT\n  EOTX\n  XEOT\n  EOT"), ("dash_unindented_end", "<<-EOT\n  a\nEOT"),
    ("dash_unindented_all", "<<-EOT\na\nEOT"), ("dash_trailing_spaces", "<<-EOT\n  a  \n  EOT"), ("dash_dash_marker", "<<--A\n  a\n  -A"),
    ("dash_no_break_space", "<<-EOT\n\u00a0a\n\u00a0EOT"),
    ("number", "5"), ("number_negative", "-5"), ("number_float", "1.5"), ("number_hex", "0x1f"), ("number_octal", "0640"), ("bool", "true"),
    ("list_of_one", '["a"]'), ("object", "{ a = 1 }"),
    ("empty", '""'),
]:
    v("contents", name, text)

for name, text in [
    ("plain", '"a b"'), ("escapes_json", r'"\"\\\/\b\f\n\r\t"'), ("escape_u", r'"\u00e9\u20ac"'), ("escape_u_zero", r'"a\u0000b"'),
    ("escape_u_pair", r'"\ud83d\ude00"'), ("escape_u_high_alone", r'"a\ud83db"'), ("escape_u_low_alone", r'"a\ude00b"'), ("escape_u_reversed", r'"\ude00\ud83d"'),
    ("escape_a", r'"\a"'), ("escape_v", r'"\v"'), ("escape_x", r'"\x41"'), ("escape_octal", r'"\101"'), ("escape_U", r'"\U0001F600"'),
    ("escape_d", r'"\d"'), ("escape_single_quote", r'"a\'b"'),
    ("non_ascii", '"é 日本 😀"'), ("raw_tab", '"a\tb"'), ("raw_cr", '"a\rb"'), ("raw_control", '"a\x01b"'), ("raw_delete", '"a\x7fb"'),
    ("interpolation", '"a ${b} c"'), ("interpolation_escapes", r'"${\n\t\\}"'), ("interpolation_quotes", '"${"a"}"'),
    ("interpolation_escaped_quotes", r'"${file(\"a\")}"'), ("interpolation_braces", '"${ {a} }"'), ("interpolation_newline", '"${\na\n}"'),
    ("interpolation_then_escape", r'"${a}\n"'), ("interpolation_u", r'"${\u00e9}"'), ("doubled_dollar", '"$${a}"'), ("dollar_name", '"$HOME"'), ("percent", '"%{ if a }"'),
    ("html_characters", '"<a>&"'), ("escape_html", r'"\u003ca\u003e\u0026"'), ("mustache", r'"{{ with secret \"a\" }}{{ end }}"'),
    ("number", "5"), ("number_float", "1.5"), ("bool", "true"), ("null", "null"), ("list", '["a"]'), ("empty", '""'),
    ("invalid_utf8", b'"a\xffb"'), ("replacement", '"a\ufffdb"'),
]:
    v("contents", "json_" + name, text, "json")

for n in ["5", "-5", "0", "-0", "007", "08", "0640", "0x1f", "0XAB", "1.5", "-1.5", "1e3", "1E3", "1e+3", "1.50", "1.", ".5", "1.2.3", "1e", "0x", "-", "--1", "1.0", "00",
          "9223372036854775808", "1e400", "1-1", "0b101", "true", "false", '""', '"Abc"', '"a\\u00e9"', "<<A\nx\nA", "<<A\nx\ny\nA", "[1]", '["a"]', "{}", "[]"]:
    v("string", n, n)
for n in ["5", "-5", "0", "1.5", "1e3", "01", "0640", "1.50", "true", "null", '"Abc"', "[1]", '["a"]', "{}", "[]"]:
    v("string", "json_" + n, n, "json")

for n in ["0", "1", "256", "384", "0400", "0600", "0640", "00640", "0x180", "0X1FF", "07", "08", "0189", "010", "1e2", "256.0", "2.56e2", "-1", "-0", "0b101", "0o600", '"0600"', '"384"', '""',
          "true", "4294967296", "9223372036854775808", "-9223372036854775808", "0xffffffffffffffffff", "1.", ".5", "1-1", "0x", "-", "1e", "1.2.3", "00", "000600", "[384]", "256.5"]:
    v("mode", n, n)
for n in ["0", "384", "0600", "416", "1e2", "256.0", "-1", '"384"', "null", "true", "0x180", "9223372036854775808"]:
    v("mode", "json_" + n, n, "json")


SEMANTIC = re.compile(
    r"error parsing '|error validating|unknown type|unknown slice|not an object type|unconvertible|"
    r"root\.|root:|strconv|error converting|invalid keys|expected type")


def field(record, key, data):
    try:
        record[key] = data.decode("utf-8")
    except UnicodeDecodeError:
        record["b64" if key == "text" else "value_b64"] = base64.b64encode(data).decode("ascii")


class Bao:
    def __init__(self, path, tmp):
        self.path = os.path.abspath(path)
        self.tmp = tmp
        self.environment = {"PATH": "/usr/bin:/bin", "HOME": tmp, "LC_ALL": "C.UTF-8"}

    def run(self, arguments, cwd, timeout=60, **more):
        environment = dict(self.environment, HOME=cwd)
        p = subprocess.run([self.path] + arguments, cwd=cwd, env=environment, stdin=subprocess.DEVNULL, timeout=timeout,
                           stdout=subprocess.PIPE, stderr=subprocess.PIPE, **more)
        return p.returncode, p.stdout, p.stderr

    def verify(self, text):
        """Loads `text` beside a valid file: (accepted, message)."""
        d = tempfile.mkdtemp(dir=self.tmp)
        with open(os.path.join(d, "base"), "wb") as f:
            f.write(BASE)
        with open(os.path.join(d, "file"), "wb") as f:
            f.write(text)
        code, out, err = self.run(["agent", "-config=base", "-config=file", "-test-verify-only"], d)
        shutil.rmtree(d)
        message = out.decode("utf-8", "replace").strip()
        prefix = "error loading configuration from file: "
        if code == 0:
            return True, None
        if code != 1:
            message = "exit status %d: " % code + (message or err.decode("utf-8", "replace").strip().split("\n")[0])
        elif message.startswith(prefix):
            message = message[len(prefix):]
        if len(message) > 400:
            message = message[:400] + "..."
        return False, message


def run_case(bao, case):
    group, name, text = case
    accepted, message = bao.verify(text)
    record = {"name": name, "group": group}
    field(record, "text", text)
    record["accepted"] = accepted
    if not accepted:
        record["bao"] = message
        if group != "root" and SEMANTIC.search(message):
            record["suspicious"] = True
    return record


LEFT, RIGHT = "[[~@#", "#@~]]"


def run_value(bao, address, value):
    target, name, syntax, text = value
    d = tempfile.mkdtemp(dir=bao.tmp)
    with open(os.path.join(d, "token"), "w") as f:
        f.write("root")
    record = {"name": name, "syntax": syntax}
    field(record, "text", text)
    record["target"] = target
    result = refused = None
    if syntax == "hcl":
        mode = b" mode = " + text + b"\n" if target == "mode" else b""
        config = ('exit_after_auth = true\nvault { address = "%s" retry { num_retries = -1 } }\nauto_auth {\n'
                  ' method "token_file" { config { token_file_path = "%s/token" } }\n sink "file" { config { path = "%s/sink"\n'
                  % (address, d, d)).encode() + mode + b"} }\n}\n"
        if target == "contents":
            config += ('template {\n left_delimiter = "%s"\n right_delimiter = "%s"\n destination = "%s/out"\n error_fatal = true\n contents = '
                       % (LEFT, RIGHT, d)).encode() + text + b"\n}\n"
        elif target == "string":
            config += b"log_level = " + text + b"\n"
    else:
        mode = b', "mode": ' + text if target == "mode" else b""
        config = ('{"exit_after_auth": true, "vault": {"address": "%s", "retry": {"num_retries": -1}}, "auto_auth": {'
                  '"method": [{"type": "token_file", "config": {"token_file_path": "%s/token"}}],'
                  ' "sinks": [{"sink": {"type": "file", "config": {"path": "%s/sink"' % (address, d, d)).encode() + mode + b"}}}]}"
        if target == "contents":
            config += (', "template": [{"left_delimiter": "%s", "right_delimiter": "%s", "destination": "%s/out", "error_fatal": true, "contents": '
                       % (LEFT, RIGHT, d)).encode() + text + b"}]"
        elif target == "string":
            config += b', "log_level": ' + text
        config += b"}"
    path = os.path.join(d, "file")
    with open(path, "wb") as f:
        f.write(config)
    arguments = ["agent", "-config=file"]
    if target == "string":
        arguments.append("-test-verify-only")
    try:
        code, out, err = bao.run(arguments, d, timeout=20, preexec_fn=lambda: os.umask(0))
    except subprocess.TimeoutExpired as e:
        code, out, err = -1, e.stdout or b"", e.stderr or b""
    said = out.decode("utf-8", "replace") + err.decode("utf-8", "replace")
    if target == "contents" and code == 0:
        with open(os.path.join(d, "out"), "rb") as f:
            result = f.read()
    elif target == "mode" and code == 0:
        result = str(os.stat(os.path.join(d, "sink")).st_mode & 0o7777).encode()
    elif target == "string" and code == 0:
        result = b""
    elif target == "string" and b"unknown log level: " in out + err:
        result = (out + err).split(b"unknown log level: ", 1)[1].rstrip(b"\n")
    if result is None:
        lines = [line for line in said.replace(d, "DIR").splitlines() if line.strip()]
        wanted = ([line for line in lines if line.startswith("panic:")] or [line for line in lines if "[ERROR]" in line]
                  or [line for line in lines if re.search(r"rror|must", line)] or lines[-1:])
        refused = re.sub(r"^error loading configuration from file: ", "", wanted[0].strip())
        refused = re.sub(r"^\S+ (\[ERROR\])", r"\1", refused)
        more = [line for line in lines[lines.index(wanted[0]) + 1:] if line.startswith("'") or line.startswith("* ")]
        if refused.endswith(":") and more:
            refused += " " + " ".join(more)
        record["refused"] = refused
        if code == -1:
            record["refused"] = "no answer in time: " + refused
    else:
        field(record, "value", result)
    shutil.rmtree(d)
    return record


def free_port():
    while True:
        a, b = socket.socket(), socket.socket()
        try:
            a.bind(("127.0.0.1", 0))
            port = a.getsockname()[1]
            b.bind(("127.0.0.1", port + 1))
            return port
        except OSError:
            pass
        finally:
            a.close()
            b.close()


def write(name, records):
    with open(os.path.join(HERE, name), "w", encoding="utf-8", newline="\n") as f:
        for r in records:
            f.write(json.dumps(r, ensure_ascii=True) + "\n")


def main():
    if len(sys.argv) < 2:
        sys.exit(__doc__)
    seen = set()
    for group, name, _ in CASES:
        assert (group, name) not in seen, (group, name)
        seen.add((group, name))
    tmp = tempfile.mkdtemp()
    bao = Bao(sys.argv[1], tmp)
    pool = concurrent.futures.ThreadPoolExecutor(4)
    server = None
    try:
        assert bao.verify(b"")[0], "the base configuration is refused"
        if "--only-values" not in sys.argv:
            records = list(pool.map(lambda x: run_case(bao, x), CASES))
            suspicious = [r for r in records if r.pop("suspicious", False)]
            for r in suspicious:
                print("not the parser's refusal:", r["group"], r["name"], r["bao"], file=sys.stderr)
            write("cases.jsonl", records)
            print("cases: %d, accepted %d, refused %d" % (
                len(records), sum(r["accepted"] for r in records), sum(not r["accepted"] for r in records)))
        if "--only-cases" not in sys.argv:
            port = free_port()
            address = "http://127.0.0.1:%d" % port
            server = subprocess.Popen(
                [bao.path, "server", "-dev", "-dev-no-store-token", "-dev-root-token-id=root", "-dev-listen-address=127.0.0.1:%d" % port],
                cwd=tmp, env=bao.environment, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
            for _ in range(100):
                try:
                    socket.create_connection(("127.0.0.1", port), 1).close()
                    break
                except OSError:
                    time.sleep(0.1)
            time.sleep(2)
            records = list(pool.map(lambda x: run_value(bao, address, x), VALUES))
            write("values.jsonl", records)
            print("values: %d, refused %d" % (len(records), sum("refused" in r for r in records)))
    finally:
        if server:
            server.terminate()
            server.wait()
        pool.shutdown()
        shutil.rmtree(tmp, ignore_errors=True)


if __name__ == "__main__":
    main()
