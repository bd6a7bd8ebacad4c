//! Inner loops compiled for the widest vectors that the processor at hand has.

/// Makes a function of which there are two forms: one that runs anywhere, and one for processors with AVX2, taken where there is such
/// a processor. What it computes does not depend on that. Functions that it calls are compiled with it only where they are inlined.
macro_rules! widest {
    (
        $(#[$attribute:meta])*
        $visibility:vis fn $name:ident<$($lifetime:lifetime),+>(
            $($argument:ident: $type:ty),+ $(,)?
        ) -> $output:ty
        $body:block
    ) => {
        $(#[$attribute])*
        $visibility fn $name<$($lifetime),+>($($argument: $type),+) -> $output {
            struct Kernel<$($lifetime),+> {
                $($argument: $type),+
            }
            impl<$($lifetime),+> pulp::NullaryFnOnce for Kernel<$($lifetime),+> {
                type Output = $output;

                #[inline(always)]
                fn call(self) -> $output {
                    let Self { $($argument),+ } = self;
                    $body
                }
            }
            pulp::Arch::new().dispatch(Kernel { $($argument),+ })
        }
    };
}

pub(crate) use widest;
