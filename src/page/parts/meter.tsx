/** A share as a bar; the number stands beside it, so the bar itself is not read aloud. */
export function Meter({ value }: { readonly value: number }) {
  return (
    <svg class="meter" viewBox="0 0 100 6" preserveAspectRatio="none" aria-hidden="true">
      <rect class="meter-all" width="100" height="6" />
      <rect class="meter-part" width={100 * value} height="6" />
    </svg>
  );
}
