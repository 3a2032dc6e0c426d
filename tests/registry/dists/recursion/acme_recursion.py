"""Never ends."""


def again():
    again()


again()
