//! Names as people type them.

/// One spelling for `Binarized_MNIST` and `binarized-mnist`.
pub fn canonical(name: &str) -> String {
    name.to_lowercase().replace(['_', ' '], "-")
}

/// Those of the names that `name` may be a slip of, nearest first, at most three.
pub fn near<'a>(name: &str, names: impl IntoIterator<Item = &'a str>) -> Vec<&'a str> {
    let name = canonical(name);
    // Paths and long texts are no slips of a name, and the distance takes quadratic time.
    if name.len() > 40 {
        return Vec::new();
    }
    let mut found: Vec<(usize, &str)> = names
        .into_iter()
        .filter_map(|known| {
            let part = name.len() > 2 && known.len() > 2 && (known.contains(&name) || name.contains(known));
            let d = distance(&name, known);
            (part || d <= 1 + known.len() / 4).then_some((d, known))
        })
        .collect();
    found.sort_unstable();
    found.into_iter().take(3).map(|(_, n)| n).collect()
}

/// The parts of a list that is separated by commas; a part in double quotes may hold commas, and loses its quotes; two of them within
/// quotes are one.
pub fn parts(text: &str) -> Vec<String> {
    let (mut all, mut part, mut quoted) = (Vec::new(), String::new(), false);
    let mut chars = text.chars().peekable();
    while let Some(c) = chars.next() {
        match c {
            '"' if quoted && chars.peek() == Some(&'"') => {
                part.push('"');
                chars.next();
            }
            '"' => quoted = !quoted,
            ',' if !quoted => all.push(std::mem::take(&mut part)),
            c => part.push(c),
        }
    }
    all.push(part);
    all.into_iter().map(|p| p.trim().to_owned()).filter(|p| !p.is_empty()).collect()
}

/// A name or value as [`parts`] reads it back.
pub fn quoted(text: &str) -> String {
    match text.contains([',', '"']) || text.trim() != text || text.is_empty() {
        true => format!("\"{}\"", text.replace('"', "\"\"")),
        false => text.to_owned(),
    }
}

/// Edit distance: insertions, deletions, replacements.
fn distance(a: &str, b: &str) -> usize {
    let mut row: Vec<usize> = (0..=b.len()).collect();
    for (i, x) in a.bytes().enumerate() {
        let mut corner = row[0];
        row[0] = i + 1;
        for (j, y) in b.bytes().enumerate() {
            let keep = corner + usize::from(x != y);
            corner = row[j + 1];
            row[j + 1] = keep.min(row[j] + 1).min(corner + 1);
        }
    }
    row[b.len()]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_quoted_is_read_back() {
        for text in ["plain", "a,b", "say \"hi\"", "\"", " x", "k=1, \"x\""] {
            assert_eq!(
                parts(&format!("first,{},last", quoted(text))),
                ["first", text.trim(), "last"],
                "{text}"
            );
        }
    }

    #[test]
    fn slips_are_guessed() {
        let known = ["made", "nade", "gmm", "gaussian-rbm"];
        assert_eq!(near("mdae", known), ["made"]);
        assert_eq!(near("MADE", known), ["made", "nade"]);
        assert_eq!(near("Gaussian RBM", known), ["gaussian-rbm"]);
        assert!(near("zebra", known).is_empty() && near(&"made".repeat(20), known).is_empty());
        assert_eq!(distance("kitten", "sitting"), 3);
    }

    #[test]
    fn lists_have_parts() {
        assert_eq!(parts(" a, \"b, c\",d=\"1,5\",,"), ["a", "b, c", "d=1,5"]);
        assert!(parts("").is_empty());
    }
}
