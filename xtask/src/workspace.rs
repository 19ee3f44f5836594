//! What `cargo metadata` says about the workspace.

use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::Value;

use crate::Result;
use crate::process::{cargo, output, run};

pub(crate) struct Workspace {
    pub(crate) root: PathBuf,
    pub(crate) target: PathBuf,
    /// The members, by name.
    pub(crate) packages: Vec<Package>,
}

pub(crate) struct Package {
    pub(crate) name: String,
    pub(crate) manifest: PathBuf,
    pub(crate) published: bool,
    /// Without `default`.
    pub(crate) features: Vec<String>,
    /// The root files of its library and its binaries.
    pub(crate) roots: Vec<PathBuf>,
}

impl Workspace {
    pub(crate) fn load() -> Result<Self> {
        let manifest = Path::new(env!("CARGO_MANIFEST_DIR")).with_file_name("Cargo.toml");
        let mut command = cargo();
        command
            .args(["metadata", "--format-version=1", "--no-deps", "--manifest-path"])
            .arg(manifest);
        let metadata: Value = serde_json::from_str(&output(&mut command)?).map_err(|error| {
            format!("`cargo metadata` printed what is not JSON ({error}): update Rust")
        })?;
        let mut packages: Vec<_> = list(&metadata["packages"]).map(Package::read).collect();
        packages.sort_by(|a, b| a.name.cmp(&b.name));
        Ok(Self {
            root: path(&metadata["workspace_root"]),
            target: path(&metadata["target_directory"]),
            packages,
        })
    }

    pub(crate) fn published(&self) -> impl Iterator<Item = &Package> {
        self.packages.iter().filter(|package| package.published)
    }

    /// A cargo command at the root of the workspace.
    pub(crate) fn cargo(&self) -> Command {
        let mut command = cargo();
        command.current_dir(&self.root);
        command
    }

    /// Builds the `ws` command as people run it, and says where it is.
    pub(crate) fn build_ws(&self) -> Result<PathBuf> {
        run(self.cargo().args(["build", "--release", "--package", "wscli"]))?;
        Ok(self.target.join("release").join("ws"))
    }
}

impl Package {
    fn read(package: &Value) -> Self {
        let is_root =
            |target: &&Value| list(&target["kind"]).any(|kind| kind == "lib" || kind == "bin");
        Self {
            name: text(&package["name"]),
            manifest: path(&package["manifest_path"]),
            published: package["publish"].is_null(),
            features: package["features"]
                .as_object()
                .into_iter()
                .flat_map(|features| features.keys())
                .filter(|name| *name != "default")
                .cloned()
                .collect(),
            roots: list(&package["targets"])
                .filter(is_root)
                .map(|target| path(&target["src_path"]))
                .collect(),
        }
    }
}

fn list(value: &Value) -> impl Iterator<Item = &Value> {
    value.as_array().into_iter().flatten()
}

fn text(value: &Value) -> String {
    value.as_str().unwrap_or_default().to_owned()
}

fn path(value: &Value) -> PathBuf {
    PathBuf::from(text(value))
}
