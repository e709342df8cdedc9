//! Tiny wheels.

use std::io::{Cursor, Write};
use std::path::Path;
use zip::ZipWriter;
use zip::write::SimpleFileOptions;

/// A wheel in the making.
#[derive(Clone)]
pub struct TestWheel {
    pub name: String,
    pub version: String,
    pub file: String,
    pub requires: Vec<String>,
    pub extras: Vec<String>,
    pub requires_python: Option<String>,
    pub uploaded: Option<&'static str>,
    pub files: Vec<(String, Vec<u8>)>,
}

/// A pure wheel with one module.
pub fn wheel(name: &str, version: &str) -> TestWheel {
    tagged(name, version, "py3-none-any")
}

/// A wheel with tags of its own.
pub fn tagged(name: &str, version: &str, tags: &str) -> TestWheel {
    let module = name.replace('-', "_");
    TestWheel {
        name: name.to_owned(),
        version: version.to_owned(),
        file: format!("{module}-{version}-{tags}.whl"),
        requires: Vec::new(),
        extras: Vec::new(),
        requires_python: None,
        uploaded: None,
        files: vec![(
            format!("{module}/__init__.py"),
            format!("version = '{version}'\n").into_bytes(),
        )],
    }
}

impl TestWheel {
    pub fn requires(mut self, requirement: &str) -> Self {
        self.requires.push(requirement.to_owned());
        self
    }

    /// The day it came to the index.
    pub fn on(mut self, day: &'static str) -> Self {
        self.uploaded = Some(day);
        self
    }

    pub fn extra(mut self, name: &str, requirement: &str) -> Self {
        self.extras.push(name.to_owned());
        self.requires(&format!("{requirement} ; extra == '{name}'"))
    }

    pub fn file(mut self, path: &str, content: &[u8]) -> Self {
        self.files.push((path.to_owned(), content.to_vec()));
        self
    }

    pub fn metadata(&self) -> String {
        let mut text = format!(
            "Metadata-Version: 2.1\nName: {}\nVersion: {}\n",
            self.name, self.version
        );
        if let Some(python) = &self.requires_python {
            text.push_str(&format!("Requires-Python: {python}\n"));
        }
        for extra in &self.extras {
            text.push_str(&format!("Provides-Extra: {extra}\n"));
        }
        for requirement in &self.requires {
            text.push_str(&format!("Requires-Dist: {requirement}\n"));
        }
        text + "\nA description.\n"
    }

    pub fn dist_info(&self) -> String {
        format!("{}-{}.dist-info", self.name.replace('-', "_"), self.version)
    }

    pub fn bytes(&self) -> Vec<u8> {
        let mut zip = ZipWriter::new(Cursor::new(Vec::new()));
        let dist_info = self.dist_info();
        let mut record = String::new();
        let mut all = self.files.clone();
        all.push((
            format!("{dist_info}/METADATA"),
            self.metadata().into_bytes(),
        ));
        all.push((
            format!("{dist_info}/WHEEL"),
            b"Wheel-Version: 1.0\n".to_vec(),
        ));
        for (path, content) in &all {
            record.push_str(&format!("{path},sha256=x,{}\n", content.len()));
            zip.start_file(path.as_str(), SimpleFileOptions::default())
                .expect("an entry");
            zip.write_all(content).expect("written");
        }
        record.push_str(&format!("{dist_info}/RECORD,,\n"));
        zip.start_file(format!("{dist_info}/RECORD"), SimpleFileOptions::default())
            .expect("an entry");
        zip.write_all(record.as_bytes()).expect("written");
        zip.finish().expect("a wheel").into_inner()
    }

    pub fn write_to(&self, folder: &Path) {
        std::fs::create_dir_all(folder).expect("a folder");
        std::fs::write(folder.join(&self.file), self.bytes()).expect("written");
    }
}
