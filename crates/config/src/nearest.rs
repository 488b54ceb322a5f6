//! The known word nearest to one that was mistyped.

/// The nearest of `known`: a word that one of the two merely continues (`role_id_file` and
/// `role_id_file_path`), or one a typing slip away.
pub(crate) fn nearest<'a>(word: &str, known: &[&'a str]) -> Option<&'a str> {
    let word = word.to_lowercase();
    if word.is_empty() || word.len() > LONGEST {
        return None;
    }
    let close = known
        .iter()
        .map(|candidate| (distance(&word, candidate), *candidate))
        .filter(|(distance, candidate)| *distance <= 1 + candidate.len() / 5)
        .min_by_key(|(distance, _)| *distance);
    let continued = || {
        known
            .iter()
            .filter(|k| word.len() >= 3 && (k.starts_with(&word) || (k.len() >= 3 && word.starts_with(**k))))
            .min_by_key(|k| k.len().abs_diff(word.len()))
            .copied()
    };
    close.map(|(_, candidate)| candidate).or_else(continued)
}

/// No key is this long, and comparing costs the product of the lengths.
const LONGEST: usize = 80;

/// How many letters must be put in, taken out, exchanged or swapped with their neighbour.
fn distance(a: &str, b: &str) -> usize {
    let (a, b): (Vec<char>, Vec<char>) = (a.chars().collect(), b.chars().collect());
    let mut before: Vec<usize> = Vec::new();
    let mut last: Vec<usize> = (0..=b.len()).collect();
    for (i, x) in a.iter().enumerate() {
        let mut row = vec![i + 1];
        for (j, y) in b.iter().enumerate() {
            let mut least = (last[j] + usize::from(x != y)).min(last[j + 1] + 1).min(row[j] + 1);
            if i > 0 && j > 0 && *x == b[j - 1] && a[i - 1] == *y {
                least = least.min(before[j - 1] + 1);
            }
            row.push(least);
        }
        before = last;
        last = row;
    }
    last[b.len()]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn finds_slips_and_continuations() {
        let known =
            ["address", "role_id_file_path", "secret_id_file_path", "tls_disable", "type", "template"];
        for (word, want) in [
            ("adress", Some("address")),
            ("Addres", Some("address")),
            ("addrses", Some("address")),
            ("role_id_file", Some("role_id_file_path")),
            ("templates", Some("template")),
            ("tls_disabled", Some("tls_disable")),
            ("foo", None),
            ("", None),
        ] {
            assert_eq!(nearest(word, &known), want, "{word}");
        }
    }
}
