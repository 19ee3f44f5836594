//! Finding the Autobahn test suite, which needs Python 2, or building it.

use std::env;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{self, Command};

use crate::Result;
use crate::process::{find, run, succeeds};

const IMAGE: &str = "crossbario/autobahn-testsuite:0.8.2";

pub(super) enum Suite {
    Program(PathBuf),
    Docker { container: String },
}

impl Suite {
    /// `WSTEST`, `wstest` on PATH, one built before, one built now with a Python 2.7, or docker: the first there is.
    pub(super) fn find(folder: &Path) -> Result<Self> {
        if let Some(given) = env::var_os("WSTEST") {
            return Ok(Self::Program(PathBuf::from(given)));
        }
        let built = folder.join("python2/bin/wstest");
        let runs = |program: &PathBuf| succeeds(Command::new(program).arg("--autobahnversion"));
        if let Some(program) = find("wstest").into_iter().chain([built.clone()]).find(runs) {
            return Ok(Self::Program(program));
        }
        if let Some(python2) = python2() {
            build(folder, &python2)?;
            return Ok(Self::Program(built));
        }
        if succeeds(Command::new("docker").arg("info")) {
            return Ok(Self::Docker { container: format!("autobahn-{}", process::id()) });
        }
        Err("the Autobahn test suite is not here: install Python 2.7 (for example `pyenv install 2.7.18`) and Python 3 \
             with pip, or docker, or set WSTEST to the path of `wstest`"
            .to_owned())
    }

    /// A command that runs it in `folder`.
    pub(super) fn command(&self, folder: &Path) -> Command {
        match self {
            Self::Program(program) => {
                let mut command = Command::new(program);
                command
                    .current_dir(folder)
                    .env("PYTHONUNBUFFERED", "1")
                    .env("PYTHONWARNINGS", "ignore");
                command
            }
            Self::Docker { container } => {
                let mut mount = folder.as_os_str().to_owned();
                mount.push(":");
                mount.push(folder);
                let mut command = Command::new("docker");
                command.args([
                    "run",
                    "--rm",
                    "--name",
                    container,
                    "--network",
                    "host",
                    "--env",
                    "PYTHONUNBUFFERED=1",
                ]);
                command
                    .arg("--volume")
                    .arg(mount)
                    .arg("--workdir")
                    .arg(folder)
                    .args([IMAGE, "wstest"]);
                command
            }
        }
    }
}

impl Drop for Suite {
    /// Killing `docker run` does not stop what it started.
    fn drop(&mut self) {
        if let Self::Docker { container } = self {
            succeeds(Command::new("docker").args(["rm", "--force", container]));
        }
    }
}

/// A Python 2.7 that starts. One on PATH may be a stand-in of pyenv that does not, so each is tried.
fn python2() -> Option<PathBuf> {
    let pyenv = env::var_os("PYENV_ROOT")
        .map(PathBuf::from)
        .or_else(|| Some(env::home_dir()?.join(".pyenv")))?;
    let versions = fs::read_dir(pyenv.join("versions"))
        .into_iter()
        .flatten()
        .flatten()
        .map(|entry| entry.path());
    let of_pyenv =
        versions.map(|version| version.join("bin/python2.7")).filter(|path| path.exists());
    find("python2.7")
        .into_iter()
        .chain(of_pyenv)
        .find(|python| succeeds(Command::new(python).arg("--version")))
}

/// A current pip cannot serve Python 2, so a Python 3 gets the last virtualenv that can, and that makes the rest.
fn build(folder: &Path, python2: &Path) -> Result {
    println!("== building the Autobahn test suite (once) in {}", folder.display());
    let (python3_env, python2_env) = (folder.join("python3"), folder.join("python2"));
    for old in [&python3_env, &python2_env] {
        _ = fs::remove_dir_all(old);
    }
    run(Command::new("python3").args(["-m", "venv"]).arg(&python3_env))?;
    run(Command::new(python3_env.join("bin/pip")).args([
        "install",
        "--quiet",
        "virtualenv<20.22",
    ]))?;
    run(Command::new(python3_env.join("bin/virtualenv"))
        .args(["--quiet", "--python"])
        .arg(python2)
        .arg(&python2_env))?;
    let install = |package| {
        let mut pip = Command::new(python2_env.join("bin/pip"));
        run(pip.args(["install", "--quiet", package]))
    };
    install("autobahntestsuite==0.8.2")?;
    // Masking and UTF-8 in C, which the suite takes where they are there: in Python they are most of
    // what it does. They need a C compiler.
    if install("wsaccel==0.6.2").is_err() {
        println!("without wsaccel the suite takes longer, and finds the same");
    }
    Ok(())
}
