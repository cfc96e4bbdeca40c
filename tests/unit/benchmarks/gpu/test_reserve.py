from benchmarks.gpu import reserve
from benchmarks.gpu.points import Point
from mysticanvas.workers.image.reserve import Device

MIB = 1 << 20


def test_a_job_reserves_at_least_what_is_given_out_and_less_of_both_in_slices() -> None:
    whole, sliced = (
        reserve.usage(
            Point("sd15", 256, 256, 4, ways), "float16", Device(32 * MIB), True, tiny=True
        )
        for ways in ((), ("vae_slicing",))
    )
    assert 32 * MIB < sliced.allocated < whole.allocated <= whole.reserved
    assert sliced.reserved < whole.reserved
