//! In which order to try the addresses of a name (RFC 8305 section 4).

use std::{net::IpAddr, time::Duration};

/// How long an attempt runs alone before the next address is tried beside it: the recommended
/// "Connection Attempt Delay" of RFC 8305 section 5.
pub const ATTEMPT_DELAY: Duration = Duration::from_millis(250);

/// Mixes the address families: the resolver's first choice first, then the families in turn, each
/// in the resolver's own order, each address once.
///
/// So one silent family delays the other by one [`ATTEMPT_DELAY`], and not by as many as it has
/// addresses (RFC 8305 section 4, with a "First Address Family Count" of one).
pub fn interleave(addresses: Vec<IpAddr>) -> Vec<IpAddr> {
    let Some(first) = addresses.first().copied() else { return addresses };
    let total = addresses.len();
    let (same, other): (Vec<_>, Vec<_>) =
        addresses.into_iter().partition(|a| a.is_ipv4() == first.is_ipv4());
    let (mut same, mut other) = (same.into_iter(), other.into_iter());
    let mut mixed = Vec::with_capacity(total);
    loop {
        let pair = [same.next(), other.next()];
        if pair == [None, None] {
            return mixed;
        }
        for address in pair.into_iter().flatten() {
            if !mixed.contains(&address) {
                mixed.push(address);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(list: &str) -> Vec<IpAddr> {
        list.split_whitespace().map(|a| a.parse().unwrap()).collect()
    }

    #[test]
    fn families_take_turns_and_the_first_choice_stays_first() {
        assert_eq!(interleave(parse("::1 ::2 ::3 1.1.1.1")), parse("::1 1.1.1.1 ::2 ::3"));
        assert_eq!(interleave(parse("1.1.1.1 2.2.2.2 ::1")), parse("1.1.1.1 ::1 2.2.2.2"));
        assert_eq!(interleave(parse("")), parse(""));
    }

    #[test]
    fn an_address_given_twice_is_tried_once() {
        assert_eq!(interleave(parse("1.1.1.1 1.1.1.1 ::1 ::1")), parse("1.1.1.1 ::1"));
    }
}
