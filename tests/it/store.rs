//! Packages kept by name: the verbs.

use crate::support::{Ended, Person, Running, project, run};
use pywasm_store::Store;

fn blobs(person: &Person) -> usize {
    let folder = person.path().join("store/blobs/sha256");
    std::fs::read_dir(folder).expect("a folder").count()
}

fn names(person: &Person) -> Vec<String> {
    let list: serde_json::Value =
        serde_json::from_str(&person.says(&["images", "--format", "json"])).expect("JSON");
    let list = list.as_array().expect("a list");
    list.iter()
        .filter_map(|image| image["name"].as_str().map(str::to_owned))
        .collect()
}

#[test]
fn a_package_runs_by_its_name_and_its_digest() {
    let person = Person::new();
    person.pack("hello", "kept");
    assert_eq!(person.says(&["run", "hello"]), "kept\n");
    let digest = person.says(&["images", "-q"]);
    assert_eq!(person.says(&["run", &digest.trim()[..20]]), "kept\n");
    let Ended { code, stderr, .. } = person.run(&["run", "hallo"]);
    assert_eq!(code, Some(125));
    assert!(
        stderr.contains("there is no package `hallo:latest` here; `pywasm images` lists"),
        "{stderr}"
    );
}

#[test]
fn a_name_is_the_package_though_a_folder_is_called_so() {
    let person = Person::new();
    person.pack("shop", "kept");
    let folder = person.path().join("shop");
    std::fs::create_dir(&folder).expect("a folder");
    std::fs::write(folder.join("models.txt"), "").expect("written");
    let Ended { stdout, stderr, .. } = person.run(&["run", "shop"]);
    assert_eq!(stdout, "kept\n");
    assert!(!stderr.contains("folder is"), "{stderr}");
    std::fs::write(folder.join("app.py"), "print('folder')").expect("written");
    let Ended { stdout, stderr, .. } = person.run(&["run", "shop"]);
    assert_eq!(stdout, "kept\n");
    assert!(stderr.contains("the folder is `./shop`"), "{stderr}");
    assert_eq!(person.says(&["run", "./shop"]), "folder\n");
    assert_eq!(person.says(&["run", "shop:latest"]), "kept\n");
    assert!(person.says(&["inspect", "shop"]).contains("shop:latest"));
    person.says(&["rmi", "shop"]);
    assert_eq!(person.says(&["run", "shop"]), "folder\n");
}

#[test]
fn what_packages_share_is_kept_once_and_goes_with_the_last_name() {
    let person = Person::new();
    person.pack("one", "1");
    let one = blobs(&person);
    // runtime, stdlib, app, config, manifest
    assert_eq!(one, 5);
    person.pack("two:x", "2");
    assert_eq!(blobs(&person), one + 3);
    person.says(&["tag", "two:x", "me/two"]);
    assert_eq!(names(&person), ["me/two:latest", "one:latest", "two:x"]);
    person.says(&["rmi", "two:x"]);
    assert_eq!(blobs(&person), one + 3);
    assert_eq!(person.says(&["run", "me/two"]), "2\n");
    let said = person.says(&["rmi", "me/two"]);
    assert!(said.starts_with("untagged me/two:latest\nfreed "), "{said}");
    assert_eq!(blobs(&person), one);
    assert_eq!(person.run(&["rmi", "me/two"]).code, Some(125));
    assert_eq!(person.run(&["rmi", "-f", "me/two"]).code, Some(0));
    // The name moves on, and what it stood for waits for prune.
    person.pack("one", "one again");
    assert_eq!(blobs(&person), one + 3);
    assert!(person.says(&["system", "prune"]).starts_with("freed "));
    assert_eq!(blobs(&person), one);
    assert_eq!(person.says(&["run", "one"]), "one again\n");
}

#[test]
fn files_go_out_and_come_in_again() {
    let person = Person::new();
    person.pack("app:1", "travelled");
    let digest = person.says(&["images", "-q"]);
    person.says(&["save", "app:1", "-o", "app.pkg"]);
    person.says(&["rmi", "app:1"]);
    assert_eq!(blobs(&person), 0);
    let said = person.says(&["load", "-i", "app.pkg"]);
    assert_eq!(said.trim(), format!("app:1  {}", digest.trim()));
    person.says(&["load", "-i", "app.pkg", "-t", "other"]);
    assert_eq!(person.says(&["run", "other"]), "travelled\n");
    // The same package packed to a file is the same package.
    let inspected: serde_json::Value =
        serde_json::from_str(&person.says(&["inspect", "app.pkg"])).expect("JSON");
    assert_eq!(inspected["digest"], digest.trim());
    assert_eq!(inspected["entrypoint"][0], "python");
    let history = person.says(&["history", "other"]);
    assert!(
        history.contains("runtime") && history.contains("/app"),
        "{history}"
    );
    person.says(&["save", "other", "-o", "app.tar"]);
    let mut archive =
        tar::Archive::new(std::fs::File::open(person.path().join("app.tar")).expect("the archive"));
    let names: Vec<_> = archive
        .entries()
        .expect("a tar")
        .map(|entry| {
            entry
                .expect("an entry")
                .path()
                .expect("a path")
                .into_owned()
        })
        .collect();
    assert!(names.starts_with(&["oci-layout".into(), "index.json".into()]));
}

#[test]
fn a_file_takes_no_name_that_is_not_its_own() {
    let (person, stranger) = (Person::new(), Person::new());
    person.pack("mine:1", "mine");
    let mine = person.digest();
    stranger.pack("mine:1", "a stranger's");
    stranger.says(&["tag", "mine:1", "ghcr.io/acme/app:1"]);
    for file in ["taken.pkg", "taken.tar"] {
        stranger.says(&["save", "mine:1", "-o", file]);
    }
    for file in ["registry.pkg", "registry.tar"] {
        stranger.says(&["save", "ghcr.io/acme/app:1", "-o", file]);
    }
    let file = |name: &str| stranger.path().join(name).display().to_string();
    for name in ["taken.pkg", "taken.tar"] {
        let said = person.fails(&["load", "-i", &file(name)]);
        assert!(
            said.contains(&format!(
                "calls itself `mine:1`, and that is another package here ({mine})"
            )),
            "{said}"
        );
    }
    for name in ["registry.pkg", "registry.tar"] {
        let said = person.fails(&["load", "-i", &file(name)]);
        assert!(
            said.contains(
                "calls itself `ghcr.io/acme/app:1`, and nothing shows that it comes from there"
            ),
            "{said}"
        );
        assert!(said.contains("such as `-t app`"), "{said}");
        // Where the name stands for that package already, nothing changes.
        stranger.says(&["load", "-i", name]);
    }
    assert_eq!(person.says(&["run", "mine:1"]), "mine\n");
    assert_eq!(names(&person), ["mine:1"]);
    let Ended { code, stderr, .. } =
        person.run(&["load", "-i", &file("registry.pkg"), "-t", "mine:1"]);
    assert_eq!(
        (code, stderr),
        (
            Some(0),
            format!("pywasm: mine:1 stood for {mine} until now\n")
        )
    );
    assert_eq!(person.says(&["run", "mine:1"]), "a stranger's\n");
}

#[test]
fn a_damaged_package_is_neither_signed_nor_verified() {
    let person = Person::new();
    person.pack("app", "x");
    person.says(&["save", "app", "-o", "app.pkg"]);
    person.says(&["key", "me"]);
    person.says(&["sign", "--key", "me.key", "app.pkg"]);
    person.says(&["verify", "--key", "me.pub", "app.pkg"]);
    let path = person.path().join("app.pkg");
    let mut bytes = std::fs::read(&path).expect("a package");
    let middle = bytes.len() / 2;
    bytes[middle] ^= 1;
    std::fs::write(&path, bytes).expect("damaged");
    for verb in [["verify", "--key", "me.pub"], ["sign", "--key", "me.key"]] {
        let [verb, flag, key] = verb;
        let said = person.fails(&[verb, flag, key, "app.pkg"]);
        assert!(said.contains("the package is damaged or forged"), "{said}");
    }
}

#[test]
fn what_is_no_package_is_not_replaced_by_one() {
    let person = Person::new();
    person.pack("app", "x");
    let app = project(&[("app.py", "print('mine')\n"), ("util.py", "")]);
    let source = app.path().join("app.py").display().to_string();
    let folder = app.path().display().to_string();
    let link = person.path().join("link.pkg");
    std::os::unix::fs::symlink("app.pkg", &link).expect("a link");
    let pack = ["pack", "-q", "--no-snapshot", &folder, "-o"];
    for command in [&pack[..], &["save", "app", "-o"]] {
        let said = |output| person.fails(&[command, &[output]].concat());
        assert_eq!(
            said(&source),
            format!(
                "pywasm: error: `{source}` is there and is no package: give another -o, or remove it first\n"
            )
        );
        assert!(said("none/app.pkg").contains("the folder `none` is not there"));
        assert!(said("-").contains("`-o -`: a package is written beside its place"));
        // A package takes the place of another one, behind a link too.
        for output in ["app.pkg", "app.tar", "app.tar", "app.pkg", "link.pkg"] {
            person.says(&[command, &[output]].concat());
        }
        assert!(link.is_symlink());
    }
    let sources = std::fs::read_to_string(&source).expect("a source");
    assert_eq!(sources, "print('mine')\n");
    assert_eq!(person.says(&["run", &source]), "mine\n");
    let graph = ["run", "--profile", &source, &source];
    assert!(
        person
            .fails(&graph)
            .contains("is there and is no SVG image: give another --profile")
    );
    let lock = ["lock", &folder, "-o", &source];
    assert!(
        person
            .fails(&lock)
            .contains("is there and is no lock file: give another -o")
    );
    assert_eq!(std::fs::read_to_string(&source).expect("a source"), sources);
}

#[test]
fn what_can_never_start_is_not_packed() {
    let person = Person::new();
    let app = project(&[("app.py", ""), ("Procfile", "web: gunicorn app:app\n")]);
    let folder = app.path().display().to_string();
    let said = person.fails(&["pack", "-q", "-o", "app.pkg", &folder]);
    insta::assert_snapshot!(said, @"pywasm: error: the package would never start by itself: `gunicorn` is not a program of this package; it has python. Start a module with `python -m NAME`, a file with `python FILE.py`, or add what brings `gunicorn` to the requirements");
    assert!(!person.path().join("app.pkg").exists());
    let Ended { code, stdout, .. } = person.run(&["check", &folder]);
    assert_eq!(code, Some(1));
    assert_eq!(
        stdout,
        format!(
            "{}\nit cannot be packed as it is\n",
            said.trim().trim_start_matches("pywasm: error: ")
        )
    );
    let Ended { stdout, .. } = person.run(&["check", "--format", "json", &folder]);
    let report: serde_json::Value = serde_json::from_str(&stdout).expect("JSON");
    assert_eq!(report["packable"], false);
    assert!(report["cannot_start"].is_string(), "{report}");
    // What nobody asks for is told, and keeps nobody from `serve`.
    let app = project(&[("app.py", "app = FastAPI()\n")]);
    let guessed = app.path().display().to_string();
    let Ended { code, stderr, .. } =
        person.run(&["pack", "--no-snapshot", "-o", "guessed.pkg", &guessed]);
    assert_eq!(code, Some(0), "{stderr}");
    assert!(
        stderr.contains("would never start by itself: `uvicorn` is not a program"),
        "{stderr}"
    );
    assert!(
        person
            .says(&["check", &guessed])
            .ends_with("it can be packed\n")
    );
    let entrypoint = |line| ["pack", "-q", "-o", "app.pkg", "--entrypoint", line, &folder];
    assert!(
        person
            .fails(&entrypoint("nope -x"))
            .contains("`nope` is not a program")
    );
    assert!(
        person
            .fails(&entrypoint(""))
            .contains("--entrypoint: it names no program")
    );
    for line in [
        "python app.py",
        "app.py",
        "cd /tmp && python -c 1",
        "$SERVER app:app",
    ] {
        person.says(&entrypoint(line));
    }
}

#[test]
fn a_damaged_blob_is_found_and_a_damaged_name_removes_nothing() {
    let person = Person::new();
    person.pack("app", "x");
    person.pack("other", "y");
    let store = person.path().join("store");
    let name = std::fs::read_dir(store.join("names"))
        .expect("names")
        .next()
        .expect("one")
        .expect("one")
        .path();
    let before = blobs(&person);
    let whole = std::fs::read(&name).expect("a name");
    std::fs::write(&name, "{").expect("damaged");
    let Ended { code, stderr, .. } = person.run(&["system", "prune"]);
    assert_eq!(code, Some(125));
    assert!(stderr.contains("is damaged"), "{stderr}");
    assert_eq!(blobs(&person), before);
    std::fs::write(&name, whole).expect("whole again");
    let kept = Store::open(&store).expect("a store");
    kept.verify().expect("whole");
    // The app's layer is the smallest that is no document.
    let blob = std::fs::read_dir(store.join("blobs/sha256"))
        .expect("blobs")
        .filter_map(|entry| Some(entry.ok()?.path()))
        .find(|path| {
            std::fs::read(path).is_ok_and(|bytes| bytes.starts_with(&[0x28, 0xb5, 0x2f, 0xfd]))
        })
        .expect("a layer");
    let mut bytes = std::fs::read(&blob).expect("a layer");
    let middle = bytes.len() / 2;
    bytes[middle] ^= 1;
    std::fs::write(&blob, bytes).expect("damaged");
    assert!(kept.verify().is_err());
}

#[test]
fn registry_the_commands_of_the_tutorials_work_by_name() {
    let person = Person::new();
    let app = project(&[
        (
            "Dockerfile",
            "FROM python:3.8-slim\nWORKDIR /app\nCOPY requirements.txt .\nRUN pip install -r requirements.txt\nCOPY . .\nCMD [\"python\", \"app.py\"]\n",
        ),
        ("requirements.txt", "Flask==2.0.1\n"),
        (
            "app.py",
            "from flask import Flask\napp = Flask(__name__)\n\n@app.route('/')\ndef hello():\n    return 'Hello, World!'\n\nif __name__ == '__main__':\n    app.run(host='0.0.0.0', port=80)\n",
        ),
    ]);
    let mut build = person.command(&["build", "-t", "my-python-app", "."]);
    build.current_dir(app.path());
    assert_eq!(run(build).code, Some(0));
    let mut server = Running::start(person.command(&["run", "-p", "0:80", "my-python-app"]));
    let address = server.address(80);
    assert!(crate::support::get(address, "/").ends_with("Hello, World!"));
}
