//! The facts of OpenSSL and its kin, one by one, against the strict cache and each compat preset;
//! and `docs/CONFORMANCE.md`, which is written from what is observed.

#[path = "conformance/case.rs"]
mod case;
#[path = "conformance/document.rs"]
mod document;
#[path = "conformance/looked_up.rs"]
mod looked_up;
mod sessions;
#[path = "conformance/settings.rs"]
mod settings;
#[path = "conformance/stored.rs"]
mod stored;

use case::Group;
use halfshake::session::Compat;
use std::path::Path;

type Preset = fn() -> Compat;

const PROFILES: [(&str, Preset); 5] = [
    ("strict", Compat::strict),
    ("openssl_1_1_1", Compat::openssl_1_1_1),
    ("openssl_3", Compat::openssl_3),
    ("libressl", Compat::libressl),
    ("boringssl", Compat::boringssl),
];

const GROUPS: [Group; 7] = [
    settings::SETTINGS,
    stored::NEW,
    looked_up::PROPOSED,
    looked_up::MODES,
    stored::ADD,
    stored::REMOVE,
    looked_up::WITHIN,
];

#[test]
fn strict_does_what_the_page_says_and_each_preset_what_was_measured() {
    let wrong: Vec<String> =
        GROUPS.iter().flat_map(|group| group.cases).flat_map(document::judge).collect();
    assert!(wrong.is_empty(), "\n{}\n", wrong.join("\n"));
}

#[test]
fn every_switch_makes_a_difference_to_a_case() {
    for (switch, name) in Compat::ALL {
        let differs = GROUPS.iter().flat_map(|group| group.cases).any(|case| {
            let presets = PROFILES.map(|(_, preset)| preset());
            let with = presets.into_iter().filter(|preset| preset.contains(*switch));
            with.into_iter()
                .any(|preset| (case.observe)(preset) != (case.observe)(preset.without(*switch)))
        });
        assert!(differs, "no case shows {name}");
    }
}

#[test]
fn the_document_says_what_is_observed() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let path = root.join("docs/CONFORMANCE.md");
    let written = document::write(root);
    if std::env::var_os("HALFSHAKE_BLESS").is_some() {
        std::fs::create_dir_all(root.join("docs")).expect("the folder can be made");
        std::fs::write(&path, &written).expect("the document can be written");
    }
    let committed = std::fs::read_to_string(&path).unwrap_or_default();
    let stale =
        written.lines().zip(committed.lines().chain(std::iter::repeat(""))).find(|(a, b)| a != b);
    assert!(
        committed == written,
        "docs/CONFORMANCE.md is stale, first here: {stale:?}\n\
         HALFSHAKE_BLESS=1 cargo test --test conformance rewrites it"
    );
}
