//! A person who resolves, and what they see.

use super::index::Index;
use super::wheel::TestWheel;
use super::{NoBuilds, bare_machine, base};
use pywasm_packager::{
    Base, CheckReport, IndexFlags, PackSettings, Plan, PlanError, Project, Silent, VersionChoice,
};
use tempfile::TempDir;

/// A person with an index and an empty cache.
pub struct Person {
    pub home: TempDir,
    pub flags: IndexFlags,
    pub versions: VersionChoice,
    pub base: Option<Base>,
}

impl Person {
    pub fn new(index: &Index) -> Self {
        Self::with_url(index.url())
    }

    pub fn with_url(url: String) -> Self {
        Self {
            home: TempDir::new().expect("a folder"),
            flags: IndexFlags {
                index_url: Some(url),
                ..IndexFlags::default()
            },
            versions: VersionChoice::default(),
            base: None,
        }
    }

    pub fn settings(&self) -> PackSettings {
        PackSettings {
            index: self.flags.clone(),
            versions: self.versions.clone(),
            base: self.base,
            machine: bare_machine(self.home.path()),
            ..PackSettings::default()
        }
    }

    pub fn plan_file(&self, text: &str) -> Result<Plan, PlanError> {
        let path = self.home.path().join("requirements.txt");
        std::fs::write(&path, text).expect("written");
        Project::requirements_only(&[], &[path]).plan(&self.settings(), &base(), &NoBuilds, &Silent)
    }

    pub fn check(&self, text: &str) -> Result<CheckReport, PlanError> {
        let path = self.home.path().join("requirements.txt");
        std::fs::write(&path, text).expect("written");
        Project::requirements_only(&[], &[path]).check(
            &self.settings(),
            &base(),
            &|_| Ok(()),
            &Silent,
        )
    }

    /// `name version` of everything chosen.
    pub fn chosen(&self, requirements: &str) -> Vec<String> {
        packages(
            &self
                .plan_file(requirements)
                .unwrap_or_else(|error| panic!("{error}")),
        )
    }

    pub fn error(&self, requirements: &str) -> String {
        let prefix = format!("{}/", self.home.path().display());
        match self.plan_file(requirements) {
            Ok(plan) => panic!("resolved to {:?}", packages(&plan)),
            Err(error) => error.to_string().replace(&prefix, ""),
        }
    }
}

pub fn packages(plan: &Plan) -> Vec<String> {
    plan.to_string()
        .lines()
        .filter_map(|line| line.strip_prefix("package   "))
        .map(|line| {
            line.split_whitespace()
                .take(2)
                .collect::<Vec<_>>()
                .join(" ")
        })
        .collect()
}

pub fn notes(plan: &Plan) -> String {
    plan.notes()
        .iter()
        .map(ToString::to_string)
        .collect::<Vec<_>>()
        .join("\n")
}

pub fn index(wheels: &[TestWheel]) -> Index {
    let index = Index::start();
    index.publish_wheels(wheels);
    index
}
