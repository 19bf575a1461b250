//! Model files that are well signed and lie: each is refused, or is a model, without a panic and without memory that the file does not
//! account for.

#![allow(clippy::unwrap_used)] // helpers of tests are tests too

use genus::{Error, FitContext, Model, ModelSpec, Result, Seed, Silent, State, Tensor, registry};
use serde_json::Value;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;

/// A state as it would be read: through the bytes of a file, signed as any.
fn reread(state: &State) -> Result<State> {
    State::from_bytes(&state.to_bytes()?, Path::new("hostile"))
}

/// What comes of a file; a panic fails.
fn opened(state: &State, what: &str) -> Result<Box<dyn Model>> {
    let tried = catch_unwind(AssertUnwindSafe(|| registry::restore(&reread(state)?)));
    tried.unwrap_or_else(|_| panic!("{what} panicked"))
}

fn refused(state: &State, what: &str) {
    assert!(opened(state, what).is_err(), "{what} was taken");
}

/// Every place of a JSON value.
fn places(value: &Value, at: &str, all: &mut Vec<String>) {
    all.push(at.into());
    match value {
        Value::Array(items) => {
            // Long arrays have the same in all places.
            items.iter().enumerate().take(2).for_each(|(i, v)| places(v, &format!("{at}/{i}"), all));
        }
        Value::Object(fields) => fields.iter().for_each(|(k, v)| places(v, &format!("{at}/{k}"), all)),
        _ => {}
    }
}

/// What a value may be replaced with by somebody who means harm.
fn lies(value: &Value) -> Vec<Value> {
    let numbers = [0u64, 1, 3, u64::from(u32::MAX), 1 << 40, 1 << 63, u64::MAX].map(Value::from);
    match value {
        Value::Number(_) => numbers.into_iter().chain([Value::from(-1), Value::from(1e300)]).collect(),
        Value::Array(items) => {
            vec![Value::Array(Vec::new()), Value::Array(items.iter().skip(1).cloned().collect())]
        }
        _ => vec![Value::Null],
    }
}

/// Numbers, and what may stand in the place of a whole row of them.
fn attack_json(state: &State, key: &str, name: &str) {
    let whole: Value = serde_json::from_str(state.text(key).unwrap()).unwrap();
    let mut all = Vec::new();
    places(&whole, "", &mut all);
    for at in all {
        for lie in lies(whole.pointer(&at).unwrap()) {
            let mut bad = whole.clone();
            *bad.pointer_mut(&at).unwrap() = lie.clone();
            if bad == whole {
                continue;
            }
            let mut state = state.clone();
            state.header.insert(key.into(), bad.to_string());
            let what = format!("{name}: {key}{at} = {lie}");
            let model = opened(&state, &what);
            assert!(model.is_err() || !at.contains("/shape"), "{what} was taken");
        }
    }
    // Parts that are each sound.
    let supports = [
        serde_json::json!({ "Mixed": [] }),
        serde_json::json!({ "Mixed": ["binary"] }),
        serde_json::json!({ "Mixed": [{ "category": [] }] }),
        serde_json::json!({ "Discrete": { "levels": u32::MAX } }),
        serde_json::json!({ "Discrete": { "levels": 65_536 } }),
    ];
    let extents = [[1u64 << 32, 1 << 32, 1], [1 << 63, 2, 1], [u64::MAX, 1, 1], [1 << 14, 1 << 14, 1]];
    let shapes = extents.map(|[height, width, channels]| {
        serde_json::json!({ "Image": { "height": height, "width": width, "channels": channels } })
    });
    for side in ["/source/domain", "/target"] {
        for (part, value) in
            supports.iter().map(|s| ("support", s)).chain(shapes.iter().map(|s| ("shape", s)))
        {
            let mut bad = whole.clone();
            *bad.pointer_mut(&format!("{side}/{part}")).unwrap() = value.clone();
            let mut state = state.clone();
            state.header.insert(key.into(), bad.to_string());
            let what = format!("{name}: {side}/{part} = {value}");
            let model = opened(&state, &what);
            assert!(model.is_err() || part == "support", "{what} was taken");
        }
        // Both at once, so that they agree.
        for shape in &shapes {
            let mut bad = whole.clone();
            *bad.pointer_mut("/source/domain/shape").unwrap() = shape.clone();
            *bad.pointer_mut("/target/shape").unwrap() = shape.clone();
            bad.pointer_mut("/source").unwrap().as_object_mut().unwrap().remove("columns");
            let mut state = state.clone();
            state.header.insert(key.into(), bad.to_string());
            refused(&state, &format!("{name}: rows of {shape}"));
        }
    }
}

/// Whole numbers of a configuration, by their paths.
fn numbers(table: &toml::Table, at: &[String], all: &mut Vec<Vec<String>>) {
    for (key, value) in table {
        let path = [at, std::slice::from_ref(key)].concat();
        match value {
            toml::Value::Table(inner) => numbers(inner, &path, all),
            toml::Value::Integer(_) | toml::Value::Array(_) => all.push(path),
            _ => {}
        }
    }
}

fn attack_config(state: &State, name: &str) {
    let whole: toml::Table = state.text("config").unwrap().parse().unwrap();
    let mut all = Vec::new();
    numbers(&whole, &[], &mut all);
    for path in all {
        for n in [0i64, 1 << 14, 1 << 32, 1 << 40, i64::MAX] {
            let mut bad = whole.clone();
            let mut here = &mut bad;
            for part in &path[..path.len() - 1] {
                here = here.get_mut(part).unwrap().as_table_mut().unwrap();
            }
            let lie = match &here[path.last().unwrap()] {
                toml::Value::Array(items) => {
                    toml::Value::Array(vec![toml::Value::Integer(n); items.len().max(1)])
                }
                _ => toml::Value::Integer(n),
            };
            here.insert(path.last().unwrap().clone(), lie);
            let mut state = state.clone();
            state.header.insert("config".into(), bad.to_string());
            let what = format!("{name}: {} = {n}", path.join("."));
            let model = opened(&state, &what);
            let long = path[0] == "sampling" && n >= 1 << 32;
            assert!(model.is_err() || !(long || path[0] == "hidden" && n > 1 << 14), "{what} was taken");
        }
    }
}

fn attack_tensors(state: &State, name: &str) {
    for (key, tensor) in &state.tensors {
        let with = |lie: Tensor| {
            let mut bad = state.clone();
            bad.tensors.insert(key.clone(), lie);
            bad
        };
        let mut shape = tensor.shape.clone();
        let n: usize = shape.iter().product();
        refused(&with(Tensor::f32(&[0], vec![])), &format!("{name}: an empty {key}"));
        refused(&with(Tensor::f32(&[0, 1 << 40], vec![])), &format!("{name}: a wide empty {key}"));
        shape.push(1);
        let mut gone = state.clone();
        gone.tensors.remove(key);
        let _ = opened(&gone, &format!("{name} without {key}"));
        if let Some(v) = tensor.as_f32() {
            refused(&with(Tensor::f32(&shape, v.to_vec())), &format!("{name}: another rank of {key}"));
            for lie in [f32::NAN, f32::INFINITY, f32::NEG_INFINITY] {
                let mut v = v.to_vec();
                v[n - 1] = lie;
                refused(&with(Tensor::f32(&tensor.shape, v)), &format!("{name}: {lie} in {key}"));
            }
        }
        if let Some(v) = tensor.as_f64() {
            for lie in [f64::NAN, f64::INFINITY] {
                let mut v = v.to_vec();
                v[0] = lie;
                refused(&with(Tensor::f64(&tensor.shape, v)), &format!("{name}: {lie} in {key}"));
            }
        }
        if let Some(v) = tensor.as_u64() {
            for lie in [u64::MAX, 1 << 40, 0] {
                let bad = with(Tensor::u64(&tensor.shape, vec![lie; v.len()]));
                let _ = opened(&bad, &format!("{name}: {lie} in {key}"));
            }
        }
    }
}

fn fitted(spec: &'static ModelSpec) -> State {
    let tiny = spec.tiny_fits.first().unwrap();
    let mut table = tiny.table(spec).unwrap();
    // What it has learnt does not matter.
    for part in ["train", "pretrain"] {
        if let Some(train) = table.get_mut(part).and_then(|t| t.as_table_mut())
            && train.contains_key("epochs")
        {
            train.insert("epochs".into(), toml::Value::Integer(1));
        }
    }
    let fit = (spec.fit)(&table, &tiny.load().unwrap(), &mut FitContext::new(Seed::from(1), &mut Silent));
    fit.unwrap().model.state()
}

/// The most memory that this process has had, bytes.
#[cfg(target_os = "linux")]
fn peak() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find_map(|l| l.strip_prefix("VmHWM:")).unwrap();
    line.trim().trim_end_matches(" kB").parse::<u64>().unwrap() << 10
}

#[test]
fn hostile_model_files_are_refused() {
    let states: Vec<_> = registry::all().map(|spec| (spec.name, fitted(spec))).collect();
    #[cfg(target_os = "linux")]
    let before = peak();
    for (name, state) in &states {
        assert!(opened(state, name).is_ok(), "{name} as it was");
        attack_json(state, "transform", name);
        attack_config(state, name);
        attack_tensors(state, name);
        #[cfg(target_os = "linux")]
        assert!(peak() - before < 200 << 20, "{name} took {} bytes", peak() - before);
    }
    let unknown = State::default();
    assert!(matches!(registry::restore(&unknown), Err(Error::Run(_))));
}
