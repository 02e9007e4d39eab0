//! What the project takes from others keeps to `deny.toml`: licences, sources, one version of each.
//! The same that cargo-deny checks, without cargo-deny and without a network, and so without its
//! advisories.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::Path;

use anyhow::{Context, Result, bail};
use cargo_metadata::semver::VersionReq;
use cargo_metadata::{Metadata, MetadataCommand, Package};
use serde::Deserialize;
use spdx::{Expression, Licensee, ParseMode};

/// How cargo writes where a package of a registry comes from.
const REGISTRY: &str = "registry+";

/// What of `deny.toml` is read.
#[derive(Debug, Deserialize)]
struct Rules {
    graph: Graph,
    licenses: Licences,
    bans: Bans,
    sources: Sources,
}

#[derive(Debug, Deserialize)]
struct Graph {
    targets: Vec<String>,
}

#[derive(Debug, Deserialize)]
struct Licences {
    allow: Vec<String>,
}

#[derive(Debug, Deserialize)]
struct Bans {
    skip: Vec<Skip>,
}

/// Versions that are no reproach, as `NAME@REQUIREMENT`.
#[derive(Debug, Deserialize)]
struct Skip {
    #[serde(rename = "crate")]
    which: String,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "kebab-case")]
struct Sources {
    allow_registry: Vec<String>,
}

/// All packages that a build for the rules' targets can have, and the rules.
#[derive(Debug)]
pub struct Dependencies {
    metadata: Metadata,
    rules: Rules,
}

impl Dependencies {
    /// Those of the project, as `Cargo.lock` has them.
    ///
    /// # Errors
    /// When rules or packages cannot be read.
    pub fn of(repository: &Path) -> Result<Self> {
        let path = repository.join("deny.toml");
        let text = fs::read_to_string(&path).with_context(|| format!("read {}", path.display()))?;
        let rules: Rules = toml::from_str(&text).context("deny.toml")?;
        let mut options = vec!["--locked".to_owned(), "--offline".to_owned()];
        for target in &rules.graph.targets {
            options.extend(["--filter-platform".to_owned(), target.clone()]);
        }
        let mut command = MetadataCommand::new();
        command.manifest_path(repository.join("Cargo.toml")).other_options(options);
        let metadata = command.exec().context("cargo metadata")?;
        Ok(Self { metadata, rules })
    }

    /// Those that are others'.
    pub fn foreign(&self) -> impl Iterator<Item = &Package> {
        self.metadata.packages.iter().filter(|package| package.source.is_some())
    }

    /// Packages that cannot be had by licences that are allowed.
    ///
    /// # Errors
    /// When an allowed licence is none.
    pub fn wrong_licences(&self) -> Result<Vec<String>> {
        let allowed = self.rules.licenses.allow.iter();
        let allowed: Vec<_> = allowed
            .map(|name| Licensee::parse(name).with_context(|| format!("licence {name}")))
            .collect::<Result<_>>()?;
        let wrong = self.foreign().filter_map(|package| {
            let named = package.license.as_deref().unwrap_or_default();
            let is_good = Expression::parse_mode(named, ParseMode::LAX).is_ok_and(|licence| {
                licence.evaluate(|wanted| allowed.iter().any(|allowed| allowed.satisfies(wanted)))
            });
            (!is_good).then(|| format!("{} {}: {named:?}", package.name, package.version))
        });
        Ok(wrong.collect())
    }

    /// Packages that come from elsewhere than an allowed registry.
    pub fn wrong_sources(&self) -> Vec<String> {
        let is_allowed = |source: &str| {
            let registry = source.strip_prefix(REGISTRY);
            registry.is_some_and(|registry| {
                self.rules.sources.allow_registry.iter().any(|allowed| allowed == registry)
            })
        };
        let all = self.foreign().map(|package| {
            (
                package,
                package.source.as_ref().map(|source| source.repr.as_str()).unwrap_or_default(),
            )
        });
        let wrong = all.filter(|(_, source)| !is_allowed(source));
        wrong.map(|(package, source)| format!("{}: {source}", package.name)).collect()
    }

    /// Packages that are there in several versions, more than are skipped; and what is skipped for
    /// nothing.
    ///
    /// # Errors
    /// When what is skipped is no version.
    pub fn duplicates(&self) -> Result<Vec<String>> {
        let mut versions: BTreeMap<&str, BTreeSet<_>> = BTreeMap::new();
        for package in &self.metadata.packages {
            versions.entry(package.name.as_str()).or_default().insert(&package.version);
        }
        versions.retain(|_, versions| versions.len() > 1);
        let mut found = Vec::new();
        for Skip { which } in &self.rules.bans.skip {
            let Some((name, version)) = which.split_once('@') else { bail!("no version: {which}") };
            let version = VersionReq::parse(version).with_context(|| which.clone())?;
            let there = versions.get_mut(name);
            let before = there.as_ref().map_or(0, |there| there.len());
            let after = there.map_or(0, |there| {
                there.retain(|found| !version.matches(found));
                there.len()
            });
            if before == after {
                found.push(format!("{which} is skipped and not there"));
            }
        }
        for (name, versions) in versions.iter().filter(|(_, versions)| versions.len() > 1) {
            let versions: Vec<_> = versions.iter().map(ToString::to_string).collect();
            found.push(format!("{name} in {} versions: {}", versions.len(), versions.join(", ")));
        }
        Ok(found)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::repository;

    #[test]
    fn every_rule_bites() {
        let mut dependencies = Dependencies::of(repository()).unwrap();
        dependencies.rules.licenses.allow = vec!["Zlib".into()];
        assert!(dependencies.wrong_licences().unwrap().len() > 50);
        dependencies.rules.sources.allow_registry.clear();
        assert_eq!(dependencies.wrong_sources().len(), dependencies.foreign().count());
        let skipped = std::mem::take(&mut dependencies.rules.bans.skip);
        assert_eq!(dependencies.duplicates().unwrap().len(), skipped.len());
        dependencies.rules.bans.skip = vec![Skip { which: "no-such-package@1".into() }];
        let found = dependencies.duplicates().unwrap();
        assert!(found[0].contains("skipped and not there"), "{found:?}");
    }
}
