//! Names that were perhaps meant, for the message about one that does not exist.

/// Up to `limit` of the candidates, the nearest first.
///
/// Nearness is the number of letters to change, with the last segment of a path counting most,
/// since people remember a function's name and forget its module.
pub fn nearest<'a>(
    wanted: &str,
    candidates: impl Iterator<Item = &'a str>,
    limit: usize,
) -> Vec<&'a str> {
    let last = |path: &str| path.rsplit("::").next().unwrap_or(path).to_owned();
    let wanted_last = last(wanted);
    let mut ranked: Vec<(usize, &str)> = candidates
        .map(|c| (3 * distance(&wanted_last, &last(c)) + distance(wanted, c), c))
        .collect();
    ranked.sort();
    ranked.dedup();
    ranked.into_iter().take(limit).map(|(_, c)| c).collect()
}

/// Levenshtein's distance.
fn distance(a: &str, b: &str) -> usize {
    let b: Vec<char> = b.chars().collect();
    let mut row: Vec<usize> = (0..=b.len()).collect();
    for (i, ca) in a.chars().enumerate() {
        let mut diagonal = row[0];
        row[0] = i + 1;
        for (j, cb) in b.iter().enumerate() {
            let changed = diagonal + usize::from(ca != *cb);
            diagonal = row[j + 1];
            row[j + 1] = changed.min(row[j] + 1).min(diagonal + 1);
        }
    }
    row[b.len()]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_misspelt_function_comes_before_its_neighbours() {
        let all = ["pool::Pool::checkout", "pool::Pool::checkin", "timer::Timers::arm"];
        assert_eq!(nearest("pool::Pool::chekout", all.into_iter(), 2), [all[0], all[1]]);
        assert_eq!(nearest("timers::Timer::arm", all.into_iter(), 1), [all[2]]);
        assert_eq!(distance("kitten", "sitting"), 3);
    }
}
