//! What the next operation is: kinds, keys and values, drawn from a seed.
//!
//! Used by one connection's task each. Pure; the same seed gives the same draws for ever.

use super::plan::{Distribution, Kind, Mix};

/// Characters that values are made of: none that JSON escapes.
const LETTERS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
/// How many different values there are of one length.
const VALUES: usize = 4096;

/// A stream of random numbers that a seed repeats (SplitMix64): to choose what is asked and when,
/// never for secrets.
#[derive(Debug, Clone)]
pub struct Random(u64);

impl Random {
    /// The stream of `seed`.
    pub fn new(seed: u64) -> Self {
        Self(seed)
    }

    /// The stream of one of many who share a seed.
    pub fn one_of_many(seed: u64, number: u32) -> Self {
        // Streams that begin apart by the step of the generator would be the same, shifted.
        Self(Self(seed ^ (u64::from(number) << 32)).bits())
    }

    /// The next 64 random bits.
    pub fn bits(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// A number below `end`; 0 where that is 0.
    pub fn below(&mut self, end: u32) -> u32 {
        // The bias is below 2^-32.
        ((u128::from(self.bits()) * u128::from(end)) >> 64) as u32
    }

    /// A number from 0 up to 1.
    fn fraction(&mut self) -> f64 {
        (self.bits() >> 11) as f64 / (1_u64 << 53) as f64
    }
}

/// Draws kinds, keys and values.
#[derive(Debug, Clone)]
pub(super) struct Draws {
    random: Random,
    keys: u32,
    zipf: Option<Zipf>,
}

impl Draws {
    /// The draws of the connection `number` of a load with this seed.
    pub(super) fn new(
        seed: u64,
        number: u32,
        keys: u32,
        distribution: Option<Distribution>,
    ) -> Self {
        let zipf = match distribution {
            Some(Distribution::Zipf { theta }) => Some(Zipf::new(keys, theta)),
            Some(Distribution::Uniform) | None => None,
        };
        Self { random: Random::one_of_many(seed, number), keys, zipf }
    }

    pub(super) fn kind(&mut self, mix: &Mix) -> Kind {
        let mut draw = self.random.below(mix.sum());
        for kind in Kind::ALL {
            match draw.checked_sub(mix.weight(kind)) {
                Some(rest) => draw = rest,
                None => return kind,
            }
        }
        unreachable!("a draw lies below the sum of the weights")
    }

    pub(super) fn key(&mut self) -> u32 {
        match &self.zipf {
            None => self.random.below(self.keys),
            Some(zipf) => zipf.draw(&mut self.random) - 1,
        }
    }

    pub(super) fn value<'a>(&mut self, values: &'a Values) -> &'a [u8] {
        let at = self.random.below(VALUES as u32) as usize;
        &values.0[at..at + values.0.len() - VALUES]
    }
}

/// Values of one length: parts of one random text.
#[derive(Debug)]
pub(super) struct Values(Vec<u8>);

impl Values {
    pub(super) fn new(value_bytes: usize, seed: u64) -> Self {
        let mut random = Random::new(!seed);
        let letter = |_| LETTERS[random.below(LETTERS.len() as u32) as usize];
        Self((0..value_bytes + VALUES).map(letter).collect())
    }
}

/// Draws n of 1 to `count` in proportion to `1 / n^theta`.
///
/// Rejection-inversion (W. Hörmann, G. Derflinger, "Rejection-inversion to generate variates from
/// monotone discrete distributions", 1996): exact for every exponent, without a table, with fewer
/// than two tries a draw.
#[derive(Debug, Clone)]
struct Zipf {
    count: f64,
    theta: f64,
    /// The integral of the density at its left and right end.
    from: f64,
    to: f64,
    /// What lies closer than this to its number is taken without a further look.
    sure: f64,
}

impl Zipf {
    fn new(count: u32, theta: f64) -> Self {
        let count = f64::from(count);
        let mut zipf = Self { count, theta, from: 0.0, to: 0.0, sure: 0.0 };
        zipf.from = zipf.integral(1.5) - 1.0;
        zipf.to = zipf.integral(count + 0.5);
        zipf.sure = 2.0 - zipf.inverse(zipf.integral(2.5) - zipf.density(2.0));
        zipf
    }

    fn draw(&self, random: &mut Random) -> u32 {
        loop {
            let u = self.to + random.fraction() * (self.from - self.to);
            let x = self.inverse(u);
            let n = (x + 0.5).floor().clamp(1.0, self.count);
            if n - x <= self.sure || u >= self.integral(n + 0.5) - self.density(n) {
                return n as u32;
            }
        }
    }

    fn density(&self, x: f64) -> f64 {
        (-self.theta * x.ln()).exp()
    }

    /// The integral of the density from 1 to `x`.
    fn integral(&self, x: f64) -> f64 {
        let log = x.ln();
        expm1_over(log * (1.0 - self.theta)) * log
    }

    fn inverse(&self, y: f64) -> f64 {
        // Rounding may lead a little below the least that there is.
        let t = (y * (1.0 - self.theta)).max(-1.0);
        (ln_1p_over(t) * y).exp()
    }
}

/// `(e^x - 1) / x`, also at 0: where the exponent is 1.
fn expm1_over(x: f64) -> f64 {
    if x.abs() > 1e-8 { x.exp_m1() / x } else { 1.0 + x / 2.0 }
}

/// `ln(1 + x) / x`, also at 0.
fn ln_1p_over(x: f64) -> f64 {
    if x.abs() > 1e-8 { x.ln_1p() / x } else { 1.0 - x / 2.0 }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// How far the counts of `draws` draws may be from what is expected of them: five standard
    /// deviations, which no seed of a right generator is likely to pass.
    fn check(counts: &[u32], expected: impl Fn(usize) -> f64, what: &str) {
        for (at, count) in counts.iter().enumerate() {
            let expected = expected(at);
            let off = (f64::from(*count) - expected).abs();
            assert!(off <= 5.0 * expected.sqrt() + 5.0, "{what}, {at}: {count}, not {expected}");
        }
    }

    #[test]
    fn zipf_is_what_its_formula_says() {
        const DRAWS: u32 = 200_000;
        for theta in [0.2, 0.99, 1.0, 1.1, 3.0, 10.0] {
            for count in [1, 2, 10, 1000] {
                let zipf = Zipf::new(count, theta);
                let mut random = Random::new(7);
                let mut counts = vec![0; count as usize];
                for _ in 0..DRAWS {
                    counts[zipf.draw(&mut random) as usize - 1] += 1;
                }
                let weight = |n: usize| ((n + 1) as f64).powf(-theta);
                let sum: f64 = (0..count as usize).map(weight).sum();
                let expected = |n| f64::from(DRAWS) * weight(n) / sum;
                check(&counts, expected, &format!("theta {theta}, {count} keys"));
            }
        }
        let mut random = Random::new(8);
        let large = Zipf::new(u32::MAX >> 8, 0.99);
        assert!((0..10_000).all(|_| large.draw(&mut random) >= 1));
    }

    #[test]
    fn kinds_and_keys_are_drawn_by_weight() {
        const DRAWS: u32 = 100_000;
        let mix: Mix = "get=70,put=20,del=10".parse().unwrap();
        let mut draws = Draws::new(1, 0, 50, Some(Distribution::Uniform));
        let (mut kinds, mut keys) = ([0; 5], [0; 50]);
        for _ in 0..DRAWS {
            kinds[draws.kind(&mix) as usize] += 1;
            keys[draws.key() as usize] += 1;
        }
        let expected = |n: usize| f64::from(DRAWS * mix.weight(Kind::ALL[n])) / 100.0;
        check(&kinds, expected, "kinds");
        assert_eq!((kinds[Kind::Update as usize], kinds[Kind::Cas as usize]), (0, 0));
        check(&keys, |_| f64::from(DRAWS) / 50.0, "keys");
    }

    #[test]
    fn a_seed_repeats_its_draws_and_connections_differ() {
        let draws = |seed, number| {
            let zipf = Some(Distribution::Zipf { theta: 0.9 });
            let mut draws = Draws::new(seed, number, 1000, zipf);
            let values = Values::new(8, seed);
            let mix = Mix::only(Kind::Put);
            let one = move || (draws.kind(&mix), draws.key(), draws.value(&values).to_vec());
            std::iter::repeat_with(one).take(100).collect::<Vec<_>>()
        };
        assert_eq!(draws(3, 1), draws(3, 1));
        assert_ne!(draws(3, 1), draws(3, 2));
        assert_ne!(draws(3, 1), draws(4, 1));
        assert!(draws(3, 1).iter().all(|(_, key, value)| *key < 1000 && value.len() == 8));
    }
}
