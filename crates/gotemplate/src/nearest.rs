//! The name that somebody meant: for `function "toUper" not defined`.

/// Names longer than this are no slips of the pen.
const LONGEST: usize = 48;

/// The name nearest to `wanted`: spelled in another case, known with a prefix such as `sprig_`, or few letters off.
pub(crate) fn nearest<'n>(wanted: &str, names: impl Iterator<Item = &'n str>) -> Option<&'n str> {
    if wanted.is_empty() || wanted.len() > LONGEST {
        return None;
    }
    let plain = plain(wanted);
    let letters: Vec<char> = plain.chars().collect();
    let allowed = if letters.len() < 3 { 0 } else { (letters.len() / 3).min(3) };
    let mut best: Option<(Rank, &str)> = None;
    for name in names {
        let rank = rank(&letters, wanted, name, allowed);
        if let Some(rank) = rank
            && best.is_none_or(|(best, _)| rank < best)
        {
            best = Some((rank, name));
        }
    }
    best.map(|(_, name)| name)
}

/// The sort of resemblance, how far off, and by how many letters one is longer; the least is the nearest.
type Rank = (u8, usize, usize);

fn rank(letters: &[char], wanted: &str, name: &str, allowed: usize) -> Option<Rank> {
    // Only a prefix before `_` can be missing or too much: `b64enc`, `sprig_toJSON`.
    let known = plain(name);
    let bare = name.split_once('_').map(|(_, bare)| plain(bare));
    let wanted_bare = wanted.split_once('_').map(|(_, bare)| plain(bare));
    let wanted_plain: String = letters.iter().collect();
    if known == wanted_plain {
        return Some((0, 0, 0));
    }
    if bare.as_ref() == Some(&wanted_plain) || wanted_bare.as_ref() == Some(&known) {
        return Some((1, 0, 0));
    }
    let near = |text: &str| {
        let text: Vec<char> = text.chars().collect();
        let distance = distance(letters, &text);
        (distance <= allowed).then_some((distance * 2, letters.len().abs_diff(text.len())))
    };
    if let Some((distance, longer)) = near(&known) {
        return Some((2, distance, longer));
    }
    // One behind a prefix is a little less likely.
    bare.and_then(|bare| near(&bare)).map(|(distance, longer)| (2, distance + 1, longer))
}

/// Letters alone, so that `to_upper` is `toUpper`.
fn plain(name: &str) -> String {
    name.chars().filter(|&letter| letter != '_').flat_map(char::to_lowercase).collect()
}

/// Letters to insert, remove, replace or swap with their neighbour.
fn distance(a: &[char], b: &[char]) -> usize {
    let mut before: Vec<usize> = Vec::new();
    let mut last: Vec<usize> = (0..=b.len()).collect();
    for (i, x) in a.iter().enumerate() {
        let mut row = vec![i + 1];
        for (j, y) in b.iter().enumerate() {
            let at = |row: &[usize], j: usize| row.get(j).copied().unwrap_or(usize::MAX / 2);
            let mut cost =
                (at(&last, j) + usize::from(x != y)).min(at(&last, j + 1) + 1).min(at(&row, j) + 1);
            let swapped = i > 0 && j > 0 && a.get(i - 1) == Some(y) && b.get(j - 1) == Some(x);
            if swapped {
                cost = cost.min(at(&before, j - 1) + 1);
            }
            row.push(cost);
        }
        before = std::mem::replace(&mut last, row);
    }
    last.last().copied().unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::nearest;

    const NAMES: &[&str] = &[
        "base64Encode",
        "eq",
        "indent",
        "len",
        "print",
        "printf",
        "println",
        "sprig_b64enc",
        "sprig_default",
        "sprig_indent",
        "sprig_toJson",
        "sprig_upper",
        "toJSON",
        "toUpper",
        "trimSpace",
    ];

    #[test]
    fn what_was_meant() {
        let near = |wanted| nearest(wanted, NAMES.iter().copied());
        for (wanted, known) in [
            ("toupper", "toUpper"),
            ("to_upper", "toUpper"),
            ("TOJSON", "toJSON"),
            ("b64enc", "sprig_b64enc"),
            ("default", "sprig_default"),
            ("Default", "sprig_default"),
            ("sprig_printf", "printf"),
            ("sprig_toJSON", "sprig_toJson"),
            ("toUper", "toUpper"),
            ("pritnf", "printf"),
            ("prinft", "printf"),
            ("printx", "printf"),
            ("lenn", "len"),
            ("ident", "indent"),
            ("defualt", "sprig_default"),
            ("trimSpaces", "trimSpace"),
        ] {
            assert_eq!(near(wanted), Some(known), "{wanted}");
        }
        for unknown in ["", "x", "eg", "secret", "somethingElse", "éé", &"toUpper".repeat(1000)] {
            assert_eq!(near(unknown), None, "{unknown}");
        }
    }
}
