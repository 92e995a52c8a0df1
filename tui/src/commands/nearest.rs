//! What was probably meant.

/// Of `known` the word nearest to `typed`, the first of several, if it is near at all: a slip or
/// two, of a longer word, or its beginning.
pub fn nearest<'a>(typed: &str, known: impl Iterator<Item = &'a str>) -> Option<&'a str> {
    let letters: Vec<char> = typed.chars().take(32).collect();
    let slips = |name: &str| distance(&letters, &name.chars().collect::<Vec<_>>());
    let allowed = if letters.len() < 5 { 1 } else { 2 };
    let begins = |name: &str| letters.len() > 2 && name.starts_with(typed);
    let near = known.map(|name| (if begins(name) { 1 } else { slips(name) }, name));
    near.filter(|(slips, _)| *slips <= allowed)
        .min_by_key(|(slips, _)| *slips)
        .map(|(_, name)| name)
}

/// How many letters are wrong, missing, too many, or swapped with the next.
fn distance(a: &[char], b: &[char]) -> usize {
    let mut before: Vec<usize> = Vec::new();
    let mut last: Vec<usize> = (0..=b.len()).collect();
    for i in 1..=a.len() {
        let mut row = vec![i];
        for j in 1..=b.len() {
            let wrong = last[j - 1] + usize::from(a[i - 1] != b[j - 1]);
            let mut best = wrong.min(last[j] + 1).min(row[j - 1] + 1);
            if i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1] {
                best = best.min(before[j - 2] + 1);
            }
            row.push(best);
        }
        before = std::mem::replace(&mut last, row);
    }
    last[b.len()]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn slips_are_forgiven_and_other_words_are_not_guessed() {
        let known = ["get", "put", "mget", "locate", "status", "--if-absent"];
        for (typed, meant) in [
            ("gte", Some("get")),
            ("gett", Some("get")),
            ("et", Some("get")),
            ("pu", Some("put")),
            ("statsu", Some("status")),
            ("lcoaet", Some("locate")),
            ("loc", Some("locate")),
            ("--if-abent", Some("--if-absent")),
            ("dance", None),
            ("", None),
            ("xy", None),
        ] {
            assert_eq!(nearest(typed, known.into_iter()), meant, "{typed}");
        }
    }
}
