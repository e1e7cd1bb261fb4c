fn main() {
    cc::Build::new().file("src/shims.c").compile("shims");
}
