//! A tracked file, and which part of it is what.

/// A text file with its path below the repository's root.
#[derive(Debug)]
pub(crate) struct SourceFile {
    pub(crate) path: String,
    pub(crate) text: String,
}

impl SourceFile {
    pub(crate) fn new(path: impl Into<String>, text: impl Into<String>) -> Self {
        Self {
            path: path.into(),
            text: text.into(),
        }
    }

    pub(crate) fn is_rust(&self) -> bool {
        self.path.ends_with(".rs")
    }

    /// Whether the whole file is a test or belongs to one.
    pub(crate) fn is_test(&self) -> bool {
        let name = self.path.rsplit('/').next().unwrap_or_default();
        name == "tests.rs" || self.path.contains("/tests/")
    }

    /// Every line with its number, from 1.
    pub(crate) fn lines(&self) -> impl Iterator<Item = (usize, &str)> {
        self.text
            .lines()
            .enumerate()
            .map(|(index, line)| (index + 1, line))
    }

    /// The lines that are compiled into the product: no comments, and nothing from an inline
    /// test module on, which stands last in a file.
    pub(crate) fn product_lines(&self) -> impl Iterator<Item = (usize, &str)> {
        let code = self.lines().take(self.product_length());
        code.filter(|(_, line)| !is_comment(line))
    }

    fn product_length(&self) -> usize {
        if self.is_test() {
            return 0;
        }
        let mut before = "";
        for (number, line) in self.lines() {
            let opens_module = line.starts_with("mod ") && line.ends_with('{');
            if before == "#[cfg(test)]" && opens_module {
                return number - 1;
            }
            before = line.trim();
        }
        usize::MAX
    }
}

/// Whether a line is nothing but a comment, in Rust or in TOML.
pub(crate) fn is_comment(line: &str) -> bool {
    let line = line.trim_start();
    line.starts_with("//") || line.starts_with("# ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn product_lines_leave_comments_and_tests_out() {
        let text = "// why\nlet a = 1;\n#[cfg(test)]\nmod tests {\n}\n";
        let file = SourceFile::new("core/src/a.rs", text);
        let product: Vec<_> = file.product_lines().map(|(number, _)| number).collect();
        assert_eq!(product, [2, 3], "the attribute itself does no harm");
        let file = SourceFile::new("core/src/a.rs", "#[cfg(test)]\nmod harness;\nlet a = 1;\n");
        assert_eq!(
            file.product_lines().count(),
            3,
            "only an inline module ends the code"
        );
        let test = SourceFile::new("core/tests/a.rs", text);
        assert_eq!(test.product_lines().count(), 0);
    }
}
