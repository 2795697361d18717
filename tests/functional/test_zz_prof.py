import time
from tests.fakes import running_gateway as rg
async def test_prof(start):
    t=time.perf_counter(); await start(); print("first", time.perf_counter()-t)
    import cProfile,pstats
    p=cProfile.Profile(); p.enable(); await start(); p.disable()
    pstats.Stats(p).sort_stats("cumtime").print_stats(45)
