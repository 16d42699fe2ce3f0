//! DER as a tree, so that a mutation may leave all lengths right.

/// What libFuzzer does by itself to the first so many bytes of a buffer, of which so many may be
/// used: how many it has left.
pub type Mutate = fn(&mut [u8], usize, usize) -> usize;

/// How deep elements lie in one another: no deeper.
const DEEPEST: u8 = 4;
/// By how much a mutation may lengthen one element.
const MORE: usize = 24;

/// A tag, and what it has.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Element {
    tag: u8,
    content: Content,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Content {
    Bytes(Vec<u8>),
    Elements(Vec<Element>),
}

/// Mutates one element, and encodes all with their lengths. `None` if it is no DER, or gets longer
/// than `most`.
pub(crate) fn mutate(der: &[u8], most: usize, seed: u32, any: Mutate) -> Option<Vec<u8>> {
    let mut elements = read(der, 0)?;
    let count = elements.iter().map(size).sum::<usize>();
    let which = usize::try_from(seed >> 8).ok()?.checked_rem(count)?;
    change(&mut elements, which, seed, any);
    let mut encoded = Vec::new();
    elements.iter().for_each(|element| write(element, &mut encoded));
    (encoded.len() <= most).then_some(encoded)
}

/// `None` unless it is a row of elements, to its end. What only looks like one in an octet string
/// is left as it is.
fn read(mut der: &[u8], depth: u8) -> Option<Vec<Element>> {
    let mut elements = Vec::new();
    while let Some((&tag, rest)) = der.split_first() {
        let (len, rest) = length(rest)?;
        let (content, rest) = rest.split_at_checked(len)?;
        let is_constructed = tag & 0x20 != 0 && depth < DEEPEST;
        let inner = if is_constructed { read(content, depth + 1) } else { None };
        let content = inner.map_or_else(|| Content::Bytes(content.to_vec()), Content::Elements);
        elements.push(Element { tag, content });
        der = rest;
    }
    Some(elements)
}

fn length(der: &[u8]) -> Option<(usize, &[u8])> {
    let (&first, rest) = der.split_first()?;
    if first < 0x80 {
        return Some((first.into(), rest));
    }
    let (bytes, rest) = rest.split_at_checked(usize::from(first & 0x7f))?;
    let len = bytes
        .iter()
        .try_fold(0_usize, |len, byte| len.checked_mul(256)?.checked_add(usize::from(*byte)))?;
    Some((len, rest))
}

fn write(element: &Element, to: &mut Vec<u8>) {
    let content = match &element.content {
        Content::Bytes(bytes) => bytes.clone(),
        Content::Elements(elements) => {
            let mut inner = Vec::new();
            elements.iter().for_each(|element| write(element, &mut inner));
            inner
        }
    };
    to.push(element.tag);
    let len = content.len().to_be_bytes();
    let significant = &len[len.iter().take_while(|byte| **byte == 0).count()..];
    match significant {
        [] => to.push(0),
        [short @ ..0x80] => to.push(*short),
        long => {
            to.push(0x80 | u8::try_from(long.len()).expect("of eight bytes"));
            to.extend_from_slice(long);
        }
    }
    to.extend(content);
}

/// How many elements there are in it, with itself.
fn size(element: &Element) -> usize {
    1 + match &element.content {
        Content::Bytes(_) => 0,
        Content::Elements(elements) => elements.iter().map(size).sum(),
    }
}

/// Changes the element that is the `which`th.
fn change(elements: &mut Vec<Element>, mut which: usize, seed: u32, any: Mutate) {
    let mut at = 0;
    while which >= size(&elements[at]) {
        which -= size(&elements[at]);
        at += 1;
    }
    if which > 0 {
        if let Content::Elements(inner) = &mut elements[at].content {
            change(inner, which - 1, seed, any);
        }
        return;
    }
    match seed % 8 {
        0 => drop(elements.remove(at)),
        1 => elements.insert(at, elements[at].clone()),
        2 => elements.swap(at, 0),
        3 => elements[at].tag ^= 1 << (seed >> 4 & 7),
        _ => match &mut elements[at].content {
            Content::Bytes(bytes) => {
                let len = bytes.len();
                bytes.resize(len + MORE, 0);
                let left = any(bytes, len, len + MORE);
                bytes.truncate(left);
            }
            Content::Elements(inner) => inner.reverse(),
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SESSION: [u8; 15] = [0x30, 13, 2, 1, 1, 4, 2, 9, 9, 0xa1, 4, 2, 2, 1, 0];

    fn grown(bytes: &mut [u8], len: usize, most: usize) -> usize {
        bytes[len] = 7;
        (len + 1).min(most)
    }

    #[test]
    fn what_is_read_is_written_again() {
        let long = [&[4, 0x82, 1, 2][..], &[5; 258]].concat();
        for der in [&SESSION[..], &[4, 0], &long] {
            let mut again = Vec::new();
            read(der, 0).unwrap().iter().for_each(|element| write(element, &mut again));
            assert_eq!(again, der);
        }
        assert_eq!(read(&SESSION[..14], 0), None, "cut off");
    }

    #[test]
    fn every_mutation_leaves_the_lengths_right() {
        let mutated: std::collections::HashSet<_> = (0..5_000)
            .filter_map(|seed| mutate(&SESSION, 100, seed, grown))
            .inspect(|der| assert!(read(der, 0).is_some(), "{der:?}"))
            .collect();
        assert!(mutated.len() > 20, "{} different ones", mutated.len());
        assert!(mutated.contains(&[0x30, 14, 2, 1, 1, 4, 3, 9, 9, 7, 0xa1, 4, 2, 2, 1, 0][..]));
        let within = |most| (0..5_000).filter_map(move |seed| mutate(&SESSION, most, seed, grown));
        assert!(within(15).count() > 0 && within(15).all(|der| der.len() <= 15));
    }
}
