//! ROUGE-L (Lin, "ROUGE: A Package for Automatic Evaluation of Summaries", 2004), as Google's
//! `rouge-score` computes `rougeL` without a stemmer: the F1 of the longest common subsequence of
//! words, the best of several references. A suite's score is the mean over its items.
//!
//! Words are runs of `a` to `z` and `0` to `9` in lower case. All else only separates them: a text in
//! Chinese or Greek has no words and scores 0, and `ü` splits `für` in two.

/// The F1 of the best reference, 0 to 1.
pub(crate) fn score(answer: &str, references: &[String]) -> f64 {
    let answer = answer.to_lowercase();
    let answer = words(&answer);
    let scores = references.iter().map(|reference| {
        let reference = reference.to_lowercase();
        f1(&words(&reference), &answer)
    });
    scores.fold(0.0, f64::max)
}

fn words(lower_case: &str) -> Vec<&str> {
    let is_letter = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit();
    let runs = lower_case.split(|c| !is_letter(c));
    runs.filter(|run| !run.is_empty()).collect()
}

fn f1(reference: &[&str], answer: &[&str]) -> f64 {
    let common = longest_common_subsequence(reference, answer) as f64;
    if common == 0.0 {
        return 0.0;
    }
    let precision = common / answer.len() as f64;
    let recall = common / reference.len() as f64;
    2.0 * precision * recall / (precision + recall)
}

/// Its length, with one row of the table at a time.
fn longest_common_subsequence(a: &[&str], b: &[&str]) -> usize {
    let mut row = vec![0; b.len() + 1];
    for word in a {
        let mut diagonal = 0;
        for (index, other) in b.iter().enumerate() {
            let above = row[index + 1];
            row[index + 1] = if word == other {
                diagonal + 1
            } else {
                above.max(row[index])
            };
            diagonal = above;
        }
    }
    row[b.len()]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_example_of_the_paper() {
        let reference = ["police killed the gunman".to_owned()];
        // Both have two words in common with it, the second one three in order.
        assert_eq!(score("the gunman kill police", &reference), 0.5);
        assert_eq!(score("police kill the gunman", &reference), 0.75);
    }
}
