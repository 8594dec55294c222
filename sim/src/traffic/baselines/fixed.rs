use crate::traffic::{Policy, Sight};

/// Always the same count.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Fixed(pub u32);

impl Policy for Fixed {
    fn name(&self) -> String {
        format!("fixed={}", self.0)
    }

    fn look(&mut self, sight: &Sight<'_>) -> Option<u32> {
        (sight.desired != self.0).then_some(self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::super::play::Scene;
    use super::*;

    #[test]
    fn it_asks_once() {
        let mut scene = Scene::of(1);
        assert_eq!(scene.play(&mut Fixed(3), 10), [(0, 3)]);
        assert_eq!(Fixed(3).name(), "fixed=3");
    }
}
