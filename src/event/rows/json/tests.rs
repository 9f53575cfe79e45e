use super::*;

#[test]
fn values_that_lie_upon_each_other_are_no_document() {
    // An array whose two members are at the same place, nested: 2^n values in a few bytes.
    let mut document = vec![2, 0, 0, 4, 0];
    for _ in 0..40 {
        let size = (document.len() - 1 + 10) as u16;
        let mut outer = vec![SMALL_ARRAY, 2, 0];
        outer.extend_from_slice(&size.to_le_bytes());
        for _ in 0..2 {
            outer.extend_from_slice(&[SMALL_ARRAY, 10, 0]);
        }
        outer.extend_from_slice(&document[1..]);
        document = outer;
    }
    let error = Error::Malformed("JSON values that lie upon each other");
    assert_eq!(Document::parse(&document), Err(error));
}

#[test]
fn nesting_ends() {
    let nested = |depth: usize| {
        let mut document = vec![SMALL_ARRAY, 0, 0, 4, 0];
        for _ in 1..depth {
            let size = (document.len() - 1 + 7) as u16;
            let mut outer = vec![SMALL_ARRAY, 1, 0];
            outer.extend_from_slice(&size.to_le_bytes());
            outer.extend_from_slice(&[SMALL_ARRAY, 7, 0]);
            outer.extend_from_slice(&document[1..]);
            document = outer;
        }
        document
    };
    let deepest = nested(DEEPEST);
    let mut document = Document::parse(&deepest).unwrap();
    assert_eq!(
        document.to_string(),
        format!("{}{}", "[".repeat(DEEPEST), "]".repeat(DEEPEST))
    );
    assert_eq!(Document::parse(&nested(DEEPEST + 1)), Err(TOO_DEEP));
    // Nor does a change make it deeper.
    let change = [&[1, 4], b"$[0]".as_slice(), &[5], &nested(1)].concat();
    assert_eq!(
        Document::parse(&nested(1)).unwrap().apply(Diffs(&change)),
        Ok(())
    );
    let deep = [
        &[0, 4],
        b"$[0]".as_slice(),
        &[0xfc],
        &(deepest.len() as u16).to_le_bytes(),
        &deepest,
    ]
    .concat();
    assert_eq!(document.apply(Diffs(&deep)), Err(TOO_DEEP));
}

#[test]
fn a_change_of_what_is_not_there_is_an_error() {
    let document = |text: &[u8]| Document::parse(text.to_vec().leak()).unwrap();
    let object = b"\x00\x01\x00\x0c\x00\x0b\x00\x01\x00\x05\x01\x00a";
    assert_eq!(document(object).to_string(), r#"{"a": 1}"#);
    for (diffs, left) in [
        (&b"\x02\x03$.a"[..], Some("{}")),
        (b"\x02\x03$.b", None),
        (b"\x02\x04$[0]", None),
        (b"\x02\x01$", None),
        (b"\x02\x03x.a", None),
        (b"\x00\x01$\x02\x04\x00", Some("null")),
        (b"\x01\x03$.a\x02\x04\x00", None),
        (b"\x01\x03$.b\x02\x04\x01", Some(r#"{"a": 1, "b": true}"#)),
        (b"\x01\x07$.\"\\u00e4\"\x02\x04\x01", None),
        (
            b"\x01\x0a$.\"\\u00e4\"\x02\x04\x01",
            Some(r#"{"a": 1, "ä": true}"#),
        ),
        (b"\x00\x03$.a", None),
        (b"\x03\x03$.a", None),
    ] {
        let mut document = document(object);
        let applied = document.apply(Diffs(diffs));
        assert_eq!(applied.is_ok(), left.is_some(), "{diffs:?} {applied:?}");
        if let Some(left) = left {
            assert_eq!(document.to_string(), left);
        }
    }
}
