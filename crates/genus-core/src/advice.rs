//! What to do about an error, for programs that say it in their own words.

use std::path::PathBuf;

/// What to do about an error. Its text is for who calls the library; a program with commands or classes of its own says it in
/// terms of these.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Advice {
    /// Train into another folder.
    OtherFolder,
    /// Wait for who is at work in the folder, or train into another one.
    WaitOrOtherFolder,
    /// Go on with the run that is in the folder, or train into another one.
    ResumeOrOtherFolder,
    /// Go on with the training in this folder.
    Resume(PathBuf),
    /// Go on with the version of genus that began the run, or begin a new training with its model.
    BeginFrom {
        /// The run.
        run: PathBuf,
        /// The version.
        version: String,
    },
    /// Make a run by training.
    Train,
    /// Look at the names of all data sets.
    ListData,
    /// Look which models there are.
    ListModels,
    /// Download this set.
    Download(String),
    /// Sample without a class and a temperature.
    OwnLaw,
    /// Leave rows with missing values out, or fill them by a model of the others.
    Missing,
    /// Cut a split off the training rows.
    Split,
    /// Ask for no classes, or say which column is the label.
    Label,
}

impl std::fmt::Display for Advice {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::OtherFolder => f.write_str("choose another folder"),
            Self::WaitOrOtherFolder => f.write_str("wait for it, or choose another folder"),
            Self::ResumeOrOtherFolder => f.write_str("resume it, or choose another folder"),
            Self::Resume(_) => f.write_str("resume it"),
            Self::BeginFrom { version, .. } => {
                write!(f, "use genus {version}, or begin a new training with its model")
            }
            Self::Train => f.write_str("a training makes one"),
            Self::ListData => f.write_str("the catalogue has the names of all data sets"),
            Self::ListModels => f.write_str("the registry has all models"),
            Self::Download(name) => write!(f, "download {name}"),
            Self::OwnLaw => f.write_str("sample without a class and a temperature"),
            Self::Missing => {
                f.write_str("leave such rows out, take a model that learns from what is there, or fill them by one that imputes")
            }
            Self::Split => f.write_str("cut one off the training rows, for example 0.8/0.1/0.1"),
            Self::Label => f.write_str("leave out what asks for classes, or name the label column"),
        }
    }
}
