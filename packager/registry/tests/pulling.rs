//! Packages from a registry that is well, ill or hostile. After each of these the store is sound, an old
//! package keeps its name, and no credentials have gone to strangers.

mod support;

use pywasm_format::{Digest, ImageName};
use pywasm_registry::{Login, Purpose, RemoteName, pull};
use serde_json::json;
use support::{Fault, Machine, PASSWORD, Quiet, Registry, client, password, pieces};

/// A registry with a package called `me/app:1`.
fn registry() -> Registry {
    let registry = Registry::start();
    let (manifest, blobs) = pieces("new");
    registry.hold("me/app", "1", &manifest, &blobs);
    registry
}

fn name(registry: &Registry) -> RemoteName {
    let text = format!("{}/me/app:1", registry.host());
    text.parse().expect("a name")
}

fn local(registry: &Registry) -> ImageName {
    name(registry).local().expect("a name")
}

/// Pulls onto a machine that has an older package of that name.
fn outcome(registry: &Registry, login: Option<Login>) -> Result<(), String> {
    let machine = Machine::new();
    let local = local(registry);
    let old = machine.keep(&local, "old").digest();
    let client = client(registry, login, Purpose::Pull);
    let outcome = pull(&client, &name(registry), &machine.store, &Quiet);
    machine.is_sound();
    let now = machine.package(&local).digest();
    match &outcome {
        Ok(image) => assert_eq!(now, image.digest),
        Err(_) => assert_eq!(now, old),
    }
    outcome.map(drop).map_err(|error| error.to_string())
}

fn fails(registry: &Registry, part: &str) {
    match outcome(registry, password()) {
        Ok(()) => panic!("it worked; expected `{part}`"),
        Err(error) => assert!(error.contains(part), "{error}"),
    }
}

#[test]
fn a_package_comes_and_what_is_there_already_does_not() {
    let registry = registry();
    assert_eq!(outcome(&registry, None), Ok(()));
    let machine = Machine::new();
    let client = client(&registry, None, Purpose::Pull);
    let remote = name(&registry);
    let image = pull(&client, &remote, &machine.store, &Quiet).expect("pulled");
    assert_eq!(image.digest, Digest::of(&pieces("new").0));
    let before = registry.seen().len();
    pull(&client, &remote, &machine.store, &Quiet).expect("pulled");
    let asked = &registry.seen()[before..];
    assert_eq!(
        asked.len(),
        2,
        "the manifest, and whether there are signatures: {asked:?}"
    );
}

#[test]
fn passing_faults_are_got_over() {
    for (method, part, fault) in [
        ("GET", "/manifests/", Fault::Status(503, "")),
        ("GET", "/manifests/", Fault::Status(429, "")),
        ("GET", "/manifests/", Fault::Cut(10)),
        ("GET", "/manifests/", Fault::Close),
        ("GET", "/manifests/", Fault::Forget),
        ("GET", "/blobs/", Fault::Status(500, "")),
        ("GET", "/blobs/", Fault::Status(502, "")),
        ("GET", "/blobs/", Fault::Cut(0)),
        ("GET", "/blobs/", Fault::Cut(7)),
        ("GET", "/blobs/", Fault::Close),
        ("GET", "/blobs/", Fault::Garbage),
        ("GET", "/blobs/", Fault::Stall(5)),
        ("GET", "/blobs/", Fault::Longer(10)),
    ] {
        let registry = registry();
        registry.rule(method, part, 2, fault.clone());
        assert_eq!(outcome(&registry, None), Ok(()), "{fault:?}");
    }
}

/// The digest of the layer that is large enough to be cut.
fn large(registry: &Registry) -> &'static str {
    let (_, blobs) = pieces("new");
    let digest = Digest::of(&blobs[1]).to_string();
    assert!(blobs[1].len() > 200_000 && registry.is_sound());
    Box::leak(digest.into_boxed_str())
}

#[test]
fn a_cut_transfer_goes_on_where_it_was_cut() {
    let registry = registry();
    let large = large(&registry);
    registry.rule("GET", large, 2, Fault::Cut(100_000));
    assert_eq!(outcome(&registry, None), Ok(()));
    let ranges: Vec<_> = registry
        .seen()
        .into_iter()
        .filter(|seen| seen.path.contains(large))
        .map(|seen| seen.range)
        .collect();
    let part = |from: usize| Some(format!("bytes={from}-"));
    assert_eq!(ranges, [None, part(100_000), part(200_000)]);
}

#[test]
fn it_goes_on_with_the_next_command_too() {
    let registry = registry();
    let large = large(&registry);
    registry.rule("GET", large, 1, Fault::Cut(100_000));
    registry.rule("GET", large, 2, Fault::Status(404, ""));
    let machine = Machine::new();
    let remote = name(&registry);
    let first = client(&registry, None, Purpose::Pull);
    assert!(pull(&first, &remote, &machine.store, &Quiet).is_err());
    machine.is_sound();
    registry.rule("GET", large, 1, Fault::Cut(50_000));
    let second = client(&registry, None, Purpose::Pull);
    let before = registry.seen().len();
    assert!(pull(&second, &remote, &machine.store, &Quiet).is_err());
    pull(&second, &remote, &machine.store, &Quiet).expect("pulled");
    machine.is_sound();
    let seen = registry.seen();
    let again = seen[before..].iter().find(|seen| seen.path.contains(large));
    assert_eq!(
        again.expect("asked").range.as_deref(),
        Some("bytes=100000-")
    );
}

#[test]
fn parts_that_were_not_asked_for_are_not_put_together() {
    for fault in [Fault::IgnoreRange, Fault::OtherRange] {
        let registry = registry();
        let large = large(&registry);
        registry.rule("GET", large, 1, Fault::Cut(100_000));
        registry.rule("GET", large, 1, fault);
        assert_eq!(outcome(&registry, None), Ok(()));
    }
}

#[test]
fn a_wrong_beginning_of_an_earlier_day_is_thrown_away() {
    let registry = registry();
    let digest = large(&registry);
    let machine = Machine::new();
    let partial = machine
        .path()
        .join("partial")
        .join(&digest["sha256:".len()..]);
    std::fs::write(partial, vec![0; 5000]).expect("a file");
    let client = client(&registry, None, Purpose::Pull);
    pull(&client, &name(&registry), &machine.store, &Quiet).expect("pulled");
    machine.is_sound();
}

#[test]
fn lasting_faults_end_with_what_is_wrong() {
    for (method, part, fault, said) in [
        (
            "GET",
            "/manifests/",
            Fault::Status(500, ""),
            "answers with status 500",
        ),
        ("GET", "/manifests/", Fault::Garbage, "cannot be reached"),
        ("GET", "/manifests/", Fault::Close, "cannot be reached"),
        ("GET", "/manifests/", Fault::Stall(3), "is cut off"),
        ("GET", "/manifests/", Fault::Flip, "has the digest"),
        ("GET", "/manifests/", Fault::OtherDigest, "has the digest"),
        (
            "GET",
            "/manifests/",
            Fault::Endless,
            "larger than 4194304 bytes",
        ),
        (
            "GET",
            "/manifests/",
            Fault::Status(404, r#"{"errors": [{"message": "manifest unknown"}]}"#),
            "there is no `me/app:1` on 127.0.0.1",
        ),
        (
            "GET",
            "/manifests/",
            Fault::Status(403, ""),
            "does not allow this",
        ),
        (
            "GET",
            "/manifests/",
            Fault::Status(401, ""),
            "does not allow this",
        ),
        (
            "GET",
            "/manifests/",
            Fault::Redirect("/v2/me/app/manifests/1".to_owned()),
            "one step too many",
        ),
        (
            "GET",
            "/manifests/",
            Fault::Redirect("file:///etc/passwd".to_owned()),
            "no web address",
        ),
        (
            "GET",
            "/manifests/",
            Fault::Redirect(String::new()),
            "it names none",
        ),
        ("GET", "/blobs/", Fault::Flip, "it was changed on the way"),
        (
            "GET",
            "/blobs/",
            Fault::Longer(10),
            "does not come to its end",
        ),
        ("GET", "/blobs/", Fault::Endless, "does not come to its end"),
        ("GET", "/blobs/", Fault::Cut(0), "does not come to its end"),
        (
            "GET",
            "/blobs/",
            Fault::Stall(0),
            "does not come to its end",
        ),
        (
            "GET",
            "/blobs/",
            Fault::Instead(b"{}".to_vec()),
            "does not come to its end",
        ),
        (
            "GET",
            "/blobs/",
            Fault::Status(404, ""),
            "there is no `me/app`",
        ),
    ] {
        let registry = registry();
        registry.rule(method, part, usize::MAX, fault.clone());
        let outcome = outcome(&registry, password());
        let error = outcome.expect_err(&format!("{fault:?}"));
        assert!(error.contains(said), "{fault:?}: {error}");
    }
}

#[test]
fn documents_that_lie_are_refused_before_anything_large_comes() {
    let (manifest, blobs) = pieces("new");
    let manifest: serde_json::Value = serde_json::from_slice(&manifest).expect("JSON");
    let with = |change: &dyn Fn(&mut serde_json::Value)| {
        let mut changed = manifest.clone();
        change(&mut changed);
        changed.to_string().into_bytes()
    };
    let plain = "application/vnd.oci.image.layer.v1.tar+gzip";
    for (bytes, said) in [
        (b"{".to_vec(), "is not the JSON expected there"),
        (b"null".to_vec(), "is not the JSON expected there"),
        (
            with(&|m| m["layers"][0]["size"] = json!(1_u64 << 60)),
            "over the limit of",
        ),
        (
            with(&|m| m["config"]["size"] = json!(1_u64 << 60)),
            "over the limit of",
        ),
        (
            with(&|m| m["config"]["size"] = json!(3)),
            "does not come to its end",
        ),
        (
            with(&|m| m["layers"][1]["digest"] = json!("md5:1")),
            "is not a digest",
        ),
        (
            with(&|m| m["layers"][1]["mediaType"] = json!(plain)),
            "not one made by `pywasm pack`",
        ),
        (
            with(&|m| m["layers"][1] = m["layers"][0].clone()),
            "layers must be one runtime",
        ),
        (
            with(
                &|m| m["config"] = json!({"mediaType": "application/vnd.cncf.helm.config.v1+json", "digest": Digest::of(b"").to_string(), "size": 0}),
            ),
            "media type",
        ),
        (
            json!({"schemaVersion": 2, "mediaType": "", "manifests": []})
                .to_string()
                .into_bytes(),
            "not one made by",
        ),
    ] {
        let registry = Registry::start();
        registry.hold("me/app", "1", &bytes, &blobs);
        fails(&registry, said);
        let large = Digest::of(&blobs[1]).to_string();
        assert!(
            !registry
                .seen()
                .iter()
                .any(|seen| seen.path.contains(&large)),
            "{said}: the runtime was fetched"
        );
    }
}

#[test]
fn sizes_that_lie_about_layers_never_make_a_package() {
    let (manifest, blobs) = pieces("new");
    let right: serde_json::Value = serde_json::from_slice(&manifest).expect("JSON");
    for change in [-1, 1] {
        let mut wrong = right.clone();
        let size = right["layers"][2]["size"].as_i64().expect("a size");
        wrong["layers"][2]["size"] = json!(size + change);
        let registry = Registry::start();
        registry.hold("me/app", "1", wrong.to_string().as_bytes(), &blobs);
        fails(&registry, "does not come to its end");
    }
}

#[test]
fn a_list_of_images_leads_to_ours() {
    let registry = registry();
    let (manifest, _) = pieces("new");
    let entry = |os: &str, digest: Digest| {
        json!({"mediaType": "application/vnd.oci.image.manifest.v1+json", "digest": digest.to_string(),
            "size": manifest.len(), "platform": {"os": os, "architecture": "wasm"}})
    };
    let list = json!({"schemaVersion": 2, "mediaType": "application/vnd.oci.image.index.v1+json",
        "manifests": [entry("linux", Digest::of(b"x")), entry("wasi", Digest::of(&manifest))]});
    registry.hold_manifest("me/app", "1", list.to_string().as_bytes());
    assert_eq!(outcome(&registry, None), Ok(()));
    // What the list promises is compared, too.
    registry.rule("GET", "/manifests/sha256:", 9, Fault::Flip);
    fails(&registry, "has the digest");
}

#[test]
fn a_pinned_package_is_that_one_or_none() {
    let registry = registry();
    let machine = Machine::new();
    let digest = Digest::of(&pieces("new").0);
    let text = format!("{}/me/app:9@{digest}", registry.host());
    let pinned: RemoteName = text.parse().expect("a name");
    let get = client(&registry, None, Purpose::Pull);
    let image = pull(&get, &pinned, &machine.store, &Quiet).expect("pulled");
    assert_eq!(image.name.tag(), format!("sha256-{}", digest.hex()));
    registry.rule("GET", "/manifests/", 1, Fault::Instead(pieces("other").0));
    let error = pull(&get, &pinned, &machine.store, &Quiet).expect_err("another one");
    assert!(error.to_string().contains("has the digest"), "{error}");
}

#[test]
fn a_token_is_had_for_the_password_and_for_nothing_else() {
    let registry = registry();
    registry.demand_token();
    assert_eq!(outcome(&registry, password()), Ok(()));
    let error = outcome(&registry, None).expect_err("nobody is nobody");
    assert!(
        error.contains("log in with `pywasm login 127.0.0.1:"),
        "{error}"
    );
    let wrong = Login::Password {
        user: "me".to_owned(),
        password: pywasm_registry::Secret::new("guess".to_owned()),
    };
    let error = outcome(&registry, Some(wrong)).expect_err("a wrong password");
    assert!(error.contains("incorrect username or password"), "{error}");
    assert!(!error.contains("guess"));
    // The password itself went to the token server only.
    for seen in registry.seen() {
        let basic = seen
            .authorization
            .is_some_and(|value| value.starts_with("Basic"));
        assert!(!basic || seen.path.starts_with("/token"), "{}", seen.path);
    }
}

#[test]
fn odd_token_servers() {
    let bearer = |realm: &str| Fault::Challenge(format!("Bearer realm=\"{realm}\""));
    for (fault, said) in [
        (
            bearer("not an address"),
            "not the address of a token server",
        ),
        (
            bearer("file:///etc/passwd"),
            "where everybody can read along",
        ),
        (
            Fault::Challenge("Negotiate".to_owned()),
            "does not allow this",
        ),
    ] {
        let registry = registry();
        registry.rule("GET", "/manifests/", 9, fault);
        fails(&registry, said);
    }
    for (body, said) in [
        ("{}", "no token in it"),
        ("[", "is not a token"),
        (r#"{"token": "a\r\nX-Evil: 1"}"#, "no token in it"),
    ] {
        let registry = registry();
        registry.demand_token();
        registry.rule("GET", "/token", 9, Fault::Status(200, body));
        fails(&registry, said);
    }
    let registry = registry();
    registry.demand_token();
    registry.rule("GET", "/token", 1, Fault::Status(503, ""));
    assert_eq!(outcome(&registry, password()), Ok(()));
}

#[test]
fn credentials_do_not_go_along_to_other_servers() {
    let registry = registry();
    registry.demand_token();
    let elsewhere = Registry::start();
    let (manifest, blobs) = pieces("new");
    elsewhere.hold("me/app", "1", &manifest, &blobs);
    let to = format!(
        "http://{}/v2/me/app/blobs/{}",
        elsewhere.host(),
        Digest::of(&blobs[1])
    );
    registry.rule(
        "GET",
        large(&registry),
        1,
        Fault::Challenge("Basic".to_owned()),
    );
    registry.rule("GET", large(&registry), 1, Fault::Redirect(to));
    assert_eq!(outcome(&registry, password()), Ok(()));
    let seen = elsewhere.seen();
    assert_eq!(seen.len(), 1, "the control: it was asked");
    assert_eq!(seen[0].authorization, None);
    // And another server that asks for a password by itself gets none.
    elsewhere.rule("GET", "/blobs/", 9, Fault::Challenge("Basic".to_owned()));
    let to = format!(
        "http://{}/v2/me/app/blobs/{}",
        elsewhere.host(),
        Digest::of(&blobs[1])
    );
    registry.rule("GET", large(&registry), 9, Fault::Redirect(to));
    fails(&registry, "does not allow this");
    assert!(
        elsewhere
            .seen()
            .iter()
            .all(|seen| seen.authorization.is_none())
    );
    let right = registry
        .seen()
        .iter()
        .any(|seen| seen.authorization.is_some());
    assert!(right && !PASSWORD.is_empty());
}

#[test]
fn two_at_once_want_the_same() {
    let registry = registry();
    let machine = Machine::new();
    std::thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| {
                let client = client(&registry, None, Purpose::Pull);
                pull(&client, &name(&registry), &machine.store, &Quiet).expect("pulled");
            });
        }
    });
    machine.is_sound();
    let large = large(&registry);
    let fetched = registry
        .seen()
        .iter()
        .filter(|seen| seen.path.contains(large))
        .count();
    assert_eq!(fetched, 1);
}
