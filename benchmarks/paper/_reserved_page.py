def show(results, page):
    pass
